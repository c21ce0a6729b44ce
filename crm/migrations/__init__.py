"""The revisions of the CRM's schema, applied by `crm.store.upgrade` (`teledom db upgrade`)."""

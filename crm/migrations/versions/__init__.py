"""One file a revision; the newest is `crm.model.SCHEMA`."""

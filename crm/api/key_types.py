"""What the API takes and gives of keys."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from crm.keys.formats import KeyFormat
from crm.tables.keys import KeyScope, Technology

LINES_MOST = 5000
KeyText = Annotated[
    str, Meta(min_length=1, max_length=64, description="in any way of writing", examples=["188,24910"])
]
Reason = Annotated[str, Meta(max_length=200, examples=["потерян в автобусе"])]
Note = Annotated[str, Meta(max_length=200, examples=["консьерж"])]


class KeyBinding(Struct, kw_only=True, forbid_unknown_fields=True):
    """What a key opens, or whose it is; `id` is that of what `scope` names, 0 for everywhere."""

    scope: KeyScope
    id: Annotated[int, Meta(ge=0, le=2**31 - 1, examples=[17])] = 0


class BoundTo(Struct, kw_only=True):
    """What a key is bound to, with what it is called."""

    scope: KeyScope
    id: int
    title: Annotated[str, Meta(examples=["ул. Ленина 5, 42"])]


class KeyRecord(Struct, kw_only=True):
    """A key, with what is within sight of what it opens."""

    id: int
    uid: Annotated[str, Meta(description="hex, as the key sends it", examples=["00BC614E"])]
    technology: Technology
    given: Annotated[str, Meta(description="as it was written when it came in", examples=["188,24910"])]
    format: KeyFormat
    written: Annotated[dict[str, str], Meta(description="how it looks in each format that it has")]
    note: str
    created_at: datetime | None
    lost_at: datetime | None
    lost_why: str
    seen_at: datetime | None
    seen_by: Annotated[str, Meta(description="the SIP user of the panel that saw it last")]
    bindings: list[BoundTo]


class NewKey(Struct, kw_only=True, forbid_unknown_fields=True):
    """A key to add, and what it opens."""

    key: KeyText
    format: Annotated[KeyFormat | None, Meta(description="left out: the surest, if there is one")] = None
    uid: Annotated[str, Meta(max_length=20, description="which of several that it means in a format")] = ""
    technology: Technology | None = None
    note: Note = ""
    bindings: Annotated[list[KeyBinding], Meta(max_length=500)] = []


class BindingsChange(Struct, kw_only=True, forbid_unknown_fields=True):
    """What a key is to open from now on, and what no more."""

    add: Annotated[list[KeyBinding], Meta(max_length=500)] = []
    remove: Annotated[list[KeyBinding], Meta(max_length=500)] = []


class LostKey(Struct, kw_only=True, forbid_unknown_fields=True):
    """Why a key opens nothing any more."""

    why: Reason = ""


class PanelOfKey(Struct, kw_only=True):
    """What a panel knows of a key."""

    domophone_id: int
    sip_user: Annotated[str, Meta(examples=["500001"])]
    wanted: Annotated[bool, Meta(description="it is to know the key; else to forget it")]
    told_at: Annotated[datetime | None, Meta(description="null: it is still to be told")]
    next_try: datetime | None
    tries: int
    error: str


class KeyLines(Struct, kw_only=True, forbid_unknown_fields=True):
    """Keys as they are written, all in the same way."""

    keys: Annotated[
        list[Annotated[str, Meta(max_length=64)]],
        Meta(min_length=1, max_length=LINES_MOST, examples=[["C3B2A104", "D4C3B2A1"]]),
    ]


class KeyReading(Struct, kw_only=True):
    """What a text can mean."""

    uid: str
    format: KeyFormat
    sure: Literal["certain", "likely", "possible"]
    part: Annotated[bool, Meta(description="these are the last bytes of what may be a longer key")]
    known: bool


class KeyLine(Struct, kw_only=True):
    """A line, and all that it can mean, the surest first."""

    key: str
    readings: list[KeyReading]


class FormatGuess(Struct, kw_only=True):
    """How well a format fits all lines."""

    format: KeyFormat
    readable: int
    known: int
    likely: int


class KeyPreview(Struct, kw_only=True):
    """What an import would see. `formats`: the best first."""

    lines: list[KeyLine]
    formats: list[FormatGuess]


class ImportLine(Struct, kw_only=True, forbid_unknown_fields=True):
    """A key of an import, and what it opens."""

    key: KeyText
    bindings: Annotated[list[KeyBinding], Meta(max_length=100)] = []


class KeyImport(Struct, kw_only=True, forbid_unknown_fields=True):
    """Keys to import, all of them or none."""

    keys: Annotated[list[ImportLine], Meta(min_length=1, max_length=LINES_MOST)]
    format: KeyFormat
    technology: Technology | None = None
    note: Note = ""


class KeysImported(Struct, kw_only=True):
    """What became of an import."""

    added: int
    known: Annotated[int, Meta(description="known ones, which were bound to more")]

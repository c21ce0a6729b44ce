"""Where a panel is, as what Asterisk sends of it with a 112 call: a PIDF-LO (RFC 4119, RFC 5139) in the INVITE.

`location_variables` gives the variables to create the trunk's channel with (`POST /channels/create`, in `variables`);
they work in no originate. The trunk's endpoint must have a geoloc_outgoing_call_profile.

Asterisk reads a location as a list of name=value, and replaces ${…} in each value when the INVITE is made. That serves
here: each value is a channel variable of its own, and the list only names it, so nothing of a value (quotes, commas,
backslashes, ${…}) is ever parsed. What is replaced is not looked at again.
"""

from __future__ import annotations

import unicodedata

from attrs import frozen

VALUE_BYTES = (
    250  # Asterisk cuts a value after 255 bytes, through the middle of a letter where one stands there
)
KNOWN, DEFAULT = (
    "Manual",
    "Default",
)  # RFC 4119's method: put in by hand; RFC 6881: not known, the area's default


@frozen
class Civic:
    """An address; "" is not known. `country` is ISO 3166's two letters, `place` where at the entrance the panel is."""

    country: str
    region: str
    city: str
    street: str = ""
    house: str = ""
    entrance: str = ""
    floor: str = ""
    place: str = ""


@frozen
class Point:
    """WGS 84, degrees."""

    lat: float
    lon: float


@frozen
class Location:
    """Where a call comes from. `is_default`: only the area is known, and the dispatch is told so (RFC 6881)."""

    civic: Civic
    point: Point | None = None
    is_default: bool = False


def location_variables(location: Location, *, entity: str = "", source: str = "teledom") -> dict[str, str]:
    """The variables that make Asterisk send this location, for a channel that is created and not yet dialled.

    `entity` is whose location it is, a URI such as "pres:+73512000001@teledom"; `source` the host that vouches for it
    (RFC 8787: a name, never an address). {} when nothing at all is known.

    Asterisk puts one location into a PIDF-LO: the address, since it has the entrance and the floor. The point goes into
    the Geolocation header, behind the address, as a geo URI (RFC 5870, RFC 6442). Without an address it is the PIDF-LO.
    """
    elements = _elements(location.civic)
    if not location.is_default and not elements.keys() - {"country"}:
        elements = {}
    if not elements and location.point is None:
        return {}
    variables: dict[str, str] = {}
    if elements:
        for name, value in elements.items():
            variables[f"TD_LOC_{name}"] = value
        info = ",".join(f"{name}=${{TD_LOC_{name}}}" for name in elements)
        kind = "civicAddress"
    else:
        assert location.point is not None
        info, kind = f'shape=Point,crs=2d,pos="{_pos(location.point, " ")}"', "GML"
    if entity:
        variables["GEOLOC_PROFILE(id)"] = _plain(entity)
    # A tuple: Asterisk makes a <device> without the <deviceID> that its schema asks for, and can't be given one here.
    variables["GEOLOC_PROFILE(pidf_element)"] = "tuple"
    variables["GEOLOC_PROFILE(pidf_element_id)"] = "panel"
    variables["GEOLOC_PROFILE(format)"] = kind
    variables["GEOLOC_PROFILE(location_info)"] = info
    variables["GEOLOC_PROFILE(method)"] = DEFAULT if location.is_default else KNOWN
    variables["GEOLOC_PROFILE(allow_routing_use)"] = "yes"
    if elements and location.point is not None:
        # This field ends the header, so that more may follow. An own header of PJSIP_HEADER() would stand before
        # Asterisk's, and whoever takes the first would miss the address.
        variables["GEOLOC_PROFILE(location_source)"] = f"{source}, <geo:{_pos(location.point, ',')}>"
    return variables


def _elements(civic: Civic) -> dict[str, str]:
    """Civic elements in the order of RFC 5139's schema. It has none for an entrance: LOC is what is left to say."""
    values = {
        "country": civic.country,
        "A1": civic.region,
        "A3": civic.city,
        "RD": civic.street,
        "HNO": civic.house,
        "LOC": ", ".join(filter(None, (civic.entrance, civic.place))),
        "FLR": civic.floor,
    }
    texts = {name: _text(value) for name, value in values.items()}
    return {name: value for name, value in texts.items() if value}


def _text(value: str) -> str:
    """One line, of what XML may hold, short enough; & is the one character that Asterisk's XML wants escaped."""
    text = " ".join("".join(c if c.isspace() or _printable(c) else "" for c in value).split())
    while len(text.replace("&", "&amp;").encode()) > VALUE_BYTES:
        text = text[:-1]
    return text.strip().replace("&", "&amp;")


def _printable(char: str) -> bool:
    return unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co", "Cn")


def _plain(uri: str) -> str:
    """What can stand in a URI and can't be anything but text to Asterisk."""
    return "".join(c for c in uri if c.isascii() and (c.isalnum() or c in "+-._~:@;=%"))


def _pos(point: Point, between: str) -> str:
    return f"{point.lat:.6f}{between}{point.lon:.6f}"

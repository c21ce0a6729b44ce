"""The location in an INVITE, as whoever gets it reads it: a PIDF-LO (RFC 4119) in a body of several parts.

Strict where Asterisk is not: a civic element that RFC 5139 doesn't have, or more than one location, is an error.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping

from attrs import frozen

from testbed.sipp import SipMessage

PIDF = "urn:ietf:params:xml:ns:pidf"
MODEL = "urn:ietf:params:xml:ns:pidf:data-model"
GEOPRIV = "urn:ietf:params:xml:ns:pidf:geopriv10"
CIVIC = "urn:ietf:params:xml:ns:pidf:geopriv10:civicAddr"
GML = "http://www.opengis.net/gml"
# RFC 5139's schema, in its order.
ELEMENTS = (
    *(
        "country",
        "A1",
        "A2",
        "A3",
        "A4",
        "A5",
        "A6",
        "PRM",
        "PRD",
        "RD",
        "STS",
        "POD",
        "POM",
        "RDSEC",
        "RDBR",
    ),
    *("RDSUBBR", "HNO", "HNS", "LMK", "LOC", "FLR", "NAM", "PC", "BLD", "UNIT", "ROOM", "SEAT", "PLC", "PCN"),
    *("POBOX", "ADDCODE"),
)


class BadLocation(Exception):
    """The INVITE's location is none that a dispatch could read."""


@frozen
class SentLocation:
    """`point` is that of the PIDF-LO or, beside an address, of the Geolocation header: latitude and longitude."""

    entity: str
    method: str
    civic: Mapping[str, str]
    point: tuple[float, float] | None
    geolocation: tuple[str, ...]
    routing: str
    sdp: str
    xml: str


def sent_location(invite: SipMessage) -> SentLocation | None:
    """What an INVITE says of where its caller is; None when it says nothing. Raises BadLocation."""
    values = [value for name, value in invite.headers if name.lower() == "geolocation"]
    uris = tuple(uri for value in values for uri in re.findall(r"<([^>]*)>", value))
    boundary = re.search(r'boundary="?([^";]+)', invite.header("Content-Type"))
    if not boundary:
        if uris:
            raise BadLocation(f"a Geolocation header and no location: {values}")
        return None
    bodies = _parts(invite.body, boundary[1])
    sdp, pidf = bodies.get("application/sdp"), bodies.get("application/pidf+xml")
    if sdp is None or pidf is None:
        raise BadLocation(f"no SDP or no PIDF-LO among {', '.join(bodies)}")
    content_id, text = pidf
    if f"cid:{content_id.strip('<>')}" not in uris:
        raise BadLocation(f"the PIDF-LO is {content_id}, and the Geolocation header says {values}")
    return _read(text, sdp[1], uris, invite.header("Geolocation-Routing"))


def _parts(body: str, boundary: str) -> dict[str, tuple[str, str]]:
    """The Content-ID and the text of each part, by its type."""
    found: dict[str, tuple[str, str]] = {}
    for part in body.split(f"--{boundary}")[1:-1]:
        head, _, text = part.strip().partition("\n\n")
        headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(":") for line in head.splitlines())
        }
        found[headers.get("content-type", "")] = headers.get("content-id", ""), text
    return found


def _read(text: str, sdp: str, uris: tuple[str, ...], routing: str) -> SentLocation:
    try:
        root = ET.fromstring(text)
    except ET.ParseError as error:
        raise BadLocation(f"the PIDF-LO is no XML: {error}") from error
    infos = list(root.iter(f"{{{GEOPRIV}}}location-info"))
    if root.tag != f"{{{PIDF}}}presence" or not root.get("entity") or len(infos) != 1:
        raise BadLocation(f"not a PIDF-LO of one entity and one location:\n{text}")
    addresses = infos[0].findall(f"{{{CIVIC}}}civicAddress")
    civic = {
        element.tag.partition("}")[2]: element.text or "" for address in addresses for element in address
    }
    if unknown := civic.keys() - set(ELEMENTS):
        raise BadLocation(f"RFC 5139 has no civic element {', '.join(sorted(unknown))}")
    if sorted(civic, key=ELEMENTS.index) != list(civic):
        raise BadLocation(f"civic elements out of RFC 5139's order: {', '.join(civic)}")
    position = infos[0].findtext(f"{{{GML}}}Point/{{{GML}}}pos")
    geo = next((uri.removeprefix("geo:").replace(",", " ") for uri in uris if uri.startswith("geo:")), "")
    pos = (position or geo).split()
    if not civic and not pos:
        raise BadLocation(f"an empty location:\n{text}")
    return SentLocation(
        entity=root.get("entity", ""),
        method=root.findtext(f".//{{{GEOPRIV}}}method") or "",
        civic=civic,
        point=(float(pos[0]), float(pos[1])) if pos else None,
        geolocation=uris,
        routing=routing,
        sdp=sdp,
        xml=text,
    )

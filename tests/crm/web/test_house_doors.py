"""The entrances of a house on its page."""

from __future__ import annotations

from tests.crm.houses import Houses
from tests.crm.web.site import TestSite, plain


def test_an_entrance_stands_once_on_a_house_s_page_and_is_joined_and_taken_off_there(
    site: TestSite, houses: Houses
) -> None:
    house, other = houses.house("5"), houses.house("7")
    own, gate = houses.entrance("п. 1", house), houses.entrance("калитка", other)
    browser = site.browser()

    joined = browser.post(f"/houses/{house}/entrances", {"other": str(gate), "prefix": "2"})
    html = browser.get(joined.headers["location"].partition("#")[0]).text

    assert joined.status_code == 303
    for entrance in (own, gate):
        assert html.count(f'<th scope="row" rowspan="1"><a href="/entrances/{entrance}">') == 1
        assert (
            html.count(f'href="/entrances/{entrance}"') <= 2
        )  # in the table, and above its flats in the grid
        assert html.count(f'action="/houses/{house}/entrances/{entrance}/remove"') == 1
    assert f'action="/houses/{house}/entrances"' in html
    assert html.count('id="link-entrances"') == 1

    assert browser.post(f"/houses/{house}/entrances/{gate}/remove").status_code == 303
    assert "калитка" not in plain(browser.get(f"/houses/{house}").text.partition('class="changes"')[0])

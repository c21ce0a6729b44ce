"""The menu: sections and their pages, each shown to who has its right."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from crm.rights import Right, Rights


@frozen
class Item:
    """A page in the menu, under the label of its section ("": before all sections).

    `everywhere`: it is only for those whose right is not bounded to some houses.
    """

    label: str
    path: str
    right: Right
    icon: str
    section: str = ""
    everywhere: bool = False

    def is_for(self, rights: Rights) -> bool:
        return rights.may_everywhere(self.right) if self.everywhere else rights.may(self.right)


@frozen
class Section:
    """Pages that belong together; without a label they stand by themselves."""

    label: str
    items: tuple[Item, ...]


def path_of(sections: Sequence[Section], path: str) -> str:
    """The path of the item that a page at `path` belongs to, the closest one; "": to none."""
    paths = (item.path for section in sections for item in section.items)
    return max((each for each in paths if f"{path}/".startswith(f"{each}/")), key=len, default="")


@frozen
class Menu:
    sections: tuple[Section, ...]

    def for_rights(self, rights: Rights) -> tuple[Section, ...]:
        """What somebody with these rights is shown."""
        shown = (
            Section(each.label, tuple(item for item in each.items if item.is_for(rights)))
            for each in self.sections
        )
        return tuple(each for each in shown if each.items)

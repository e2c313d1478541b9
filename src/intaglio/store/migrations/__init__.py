"""The steps from one revision of the tables to the next. Each is a script in `versions`, named like its revision."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Connection

_FOLDER = Path(__file__).parent


def revisions() -> set[str]:
    """Every revision this Intaglio knows; told by the names of the scripts, without importing Alembic."""
    return {script.stem for script in (_FOLDER / "versions").glob("[0-9]*.py")}


def upgrade(connection: Connection) -> None:
    """Bring the tables to the newest revision, inside the transaction that `connection` is in."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")

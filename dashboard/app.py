"""``streamlit run dashboard/app.py -- --workspace W``: the dashboard of a workspace."""

import argparse
import sys
from functools import partial
from typing import NoReturn

import streamlit as st

from curation.errors import UserError
from curation.storage import open_workspace
from curation.workspace import Workspace
from dashboard import ui, views


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """A page cannot exit, so the browser shows what was wrong."""
        raise UserError(f"{message}; usage: streamlit run dashboard/app.py -- --workspace W")


@st.cache_resource(ttl=60, max_entries=10, show_spinner=False)
def _open(name: str) -> Workspace:
    """The workspace, opened once for many reruns: on object storage that takes requests."""
    return open_workspace(name)


def main() -> None:
    """Draw the page that the address names."""
    st.set_page_config(page_title="Open curation", layout="wide")
    parser = _Parser(add_help=False)
    parser.add_argument("--workspace", default="workspace")
    try:
        name = parser.parse_args(sys.argv[1:]).workspace
    except UserError as error:
        ui.trouble("The dashboard was started with a wrong option.", str(error))
    try:
        workspace = _open(name)
        exists = workspace.exists
    except (UserError, OSError, ValueError) as error:
        ui.trouble("The workspace cannot be opened at the moment.", str(error))
    if not exists:
        ui.line(f"workspace {workspace.name}")
        ui.empty("There is no workspace here yet. This makes one:", workspace, "curation.run", "INPUT")
        st.stop()
    pages = [
        st.Page(partial(view.show, workspace), title=view.TITLE, url_path=name, default=rank == 0)
        for rank, (name, view) in enumerate(views.registry().items())
    ]
    st.navigation(pages).run()


main()

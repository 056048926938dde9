"""``streamlit run dashboard/app.py -- --workspace W``: the dashboard of a workspace."""

import argparse
import sys
from functools import partial
from typing import NoReturn

import streamlit as st

from curation.errors import UserError
from curation.records import Workspace
from dashboard import ui, views


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """A page cannot exit, so the browser shows what was wrong."""
        raise UserError(f"{message}; usage: streamlit run dashboard/app.py -- --workspace W")


def main() -> None:
    """Draw the page that the address names."""
    st.set_page_config(page_title="Open curation", layout="wide")
    parser = _Parser(add_help=False)
    parser.add_argument("--workspace", default="workspace")
    try:
        workspace = Workspace(parser.parse_args(sys.argv[1:]).workspace)
    except UserError as error:
        ui.trouble("The dashboard was started with a wrong option.", str(error))
    if not workspace.exists:
        ui.line(f"workspace {workspace.root}")
        ui.empty("There is no workspace here yet. This makes one:", workspace, "curation.run", "INPUT")
        st.stop()
    pages = [
        st.Page(partial(view.show, workspace), title=view.TITLE, url_path=name, default=rank == 0)
        for rank, (name, view) in enumerate(views.registry().items())
    ]
    st.navigation(pages).run()


main()

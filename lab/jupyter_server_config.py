"""What `make lab` starts JupyterLab with."""

c = get_config()  # noqa: F821 - Jupyter defines it where it reads this file


def without_announcements(handler, page_config):
    """Ask nobody whether news may be fetched: nothing here is."""
    disabled = page_config.get("disabledExtensions", [])
    page_config["disabledExtensions"] = [*disabled, "@jupyterlab/apputils-extension:announcements"]
    return page_config


# Notebooks are dependencies of stages: running and saving one must leave its bytes as they were.
c.ContentsManager.pre_save_hook = "patchcore_suite.explore.stripped_saving.strip_on_save"
c.LabApp.default_url = "/lab/tree/notebooks/welcome.ipynb"
c.ServerApp.tornado_settings = {
    "websocket_max_message_size": 64 * 2**20,  # bytes; images are uploaded into notebooks through the web socket
    "page_config_hook": without_announcements,
}

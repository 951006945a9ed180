"""What `make lab` starts JupyterLab with."""

c = get_config()  # noqa: F821 - Jupyter defines it where it reads this file

# Notebooks are dependencies of stages: running and saving one must leave its bytes as they were.
c.ContentsManager.pre_save_hook = "patchcore_core.explore.saving.strip_on_save"
c.LabApp.default_url = "/lab/tree/notebooks/welcome.ipynb"
# No questions about news, and no requests to the network.
c.LabApp.news_url = None
c.LabApp.check_for_updates_class = "jupyterlab.NeverCheckForUpdate"
# An image that is uploaded into a notebook travels through the kernel's web socket.
c.ServerApp.tornado_settings = {"websocket_max_message_size": 64 * 2**20}  # bytes

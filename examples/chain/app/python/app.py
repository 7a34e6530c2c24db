"""A service that knows nothing of versions: it says its name, and asks the next one."""

import os

import flask
import requests

app = flask.Flask(__name__)
NAME = os.environ["NAME"]
NEXT = os.environ.get("NEXT")


@app.get("/")
def index() -> flask.Response:
    """This service, and those behind it."""
    behind = f" > {requests.get(NEXT, timeout=5).text}" if NEXT else ""
    return flask.Response(NAME + behind, mimetype="text/plain")


if __name__ == "__main__":
    app.run("0.0.0.0", 8080)

"""The application in this process, with a predictor that is loaded once."""

import os
from functools import lru_cache

from starlette.testclient import TestClient

from slowfast_cli.stages.predict.predictor import Predictor
from slowfast_cli.stages.serve.answer import answer, describe
from slowfast_cli.stages.serve.endpoint import make_app
from slowfast_cli.stages.serve.limits import Limits
from slowfast_cli.stages.serve.run import LOCAL
from slowfast_cli.stages.serve.uploads import UploadFolder

LIMITS = Limits(megabytes=1.0, seconds=20.0)


@lru_cache
def predictor():
    return Predictor(None, "cpu")


class Here:
    """Predicts in this process; `asked` are the requests, `raises` is raised instead of an answer."""

    def __init__(self, limits):
        self.model = describe(predictor(), "default")
        self.limits, self.asked, self.raises = limits, [], None

    def ask(self, request):
        assert request.path.is_file()
        self.asked.append(request)
        if self.raises:
            raise self.raises
        return answer(predictor(), request, self.limits.seconds)


class Served:
    """A client, the worker behind it, and the folder of its uploads."""

    def __init__(self, limits=LIMITS, hosts=LOCAL):
        self._environment = dict(os.environ)  # the page sets Gradio's variables
        self.uploads, self.worker = UploadFolder(), Here(limits)
        self.app = make_app(self.worker, limits, self.uploads, hosts)
        self.client = TestClient(self.app, base_url="http://127.0.0.1:7860")

    def post(self, path, query="", name=None):
        with path.open("rb") as file:
            return self.client.post(f"/predict{query}", files={"file": (name or path.name, file)})

    def stored(self):
        """Files of uploads, and of the page."""
        return [path for path in self.uploads.path.rglob("*") if path.is_file()]

    def close(self):
        self.uploads.close()
        os.environ.clear()
        os.environ.update(self._environment)

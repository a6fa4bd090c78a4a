import pytest
from stages.serve.served import Served


@pytest.fixture(scope="package")
def served():
    server = Served()
    yield server
    server.close()

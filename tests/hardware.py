"""Real tokens for tests, in software: HSMs and TPMs, each in a directory of its own, and ended with the tests.

Where one is not installed, its tests are skipped with a line that says what to install; where TALLYSTICK_CI is set,
that is a failure.
"""

import contextlib
import glob
import os
import re
import signal
import socket
import subprocess

import pytest

from tests.servers import PASSWORD, Proxy, Server, free_port, missing, own_directory, program, running

HSM_PIN = "TALLYSTICK_PKCS11_PIN"
FOLDERS = ["/usr/lib", "/usr/lib64", "/usr/lib/*-linux-gnu", "/usr/local/lib"]  # of libraries


def _library(name, remedy):
    found = [path for folder in FOLDERS for path in glob.glob(f"{folder}/{name}")]
    return found[0] if found else missing(name, remedy)


def _is_free(port):
    with contextlib.suppress(OSError, OverflowError), socket.socket() as probe:
        probe.bind(("127.0.0.1", port))
        return True
    return False


class Hsm:
    """SoftHSM, a library that is its own token; its keys are files in a directory."""

    def __init__(self, directory):
        program("softhsm2-util", "apt install softhsm2")
        self.directory, self.env = directory, {"SOFTHSM2_CONF": f"{directory}/softhsm2.conf", HSM_PIN: PASSWORD}
        (directory / "tokens").mkdir()
        self.configure()

    @property
    def library(self):
        return _library("softhsm/libsofthsm2.so", "apt install softhsm2")

    def configure(self, *more):
        lines = [f"directories.tokendir = {self.directory}/tokens", "log.level = ERROR", *more]
        (self.directory / "softhsm2.conf").write_text("\n".join(lines) + "\n")

    def make_token(self, label="audit"):
        run = [program("softhsm2-util", "apt install softhsm2"), "--init-token", "--free", "--label", label]
        self._run(*run, "--so-pin", PASSWORD, "--pin", PASSWORD)
        self._tokens = {path: path.read_bytes() for path in self.directory.glob("tokens/*/token.object")}
        return self

    def recover(self):
        """Give tokens back that SoftHSM lost: at each login it writes a token's file anew, and if it is killed just
        then nothing is left of it. Tokens that are devices do not depend on the life of those who use them."""
        for path, data in self._tokens.items():
            if path.stat().st_size < len(data):
                path.write_bytes(data)

    def tool(self, *arguments, token="audit"):
        tool = program("pkcs11-tool", "apt install opensc")
        self._run(tool, "--module", self.library, "--token-label", token, "--login", "--pin", PASSWORD, *arguments)

    def make_key(self, label="payments", *more, number="01", token="audit"):
        key = ["--keygen", "--key-type", "AES:32", "--label", label, "--id", number, "--usage-decrypt"]
        self.tool(*key, *(more or ("--sensitive",)), token=token)
        return self

    def describe(self, label):
        """Return slot and serial number of a token."""
        said = self._run(program("softhsm2-util", "apt install softhsm2"), "--show-slots").stdout.decode()
        about = next(each for each in said.split("\nSlot ")[1:] if re.search(rf"Label: +{label}\s", each))
        return {"slot": about.split()[0], "serial": re.search(r"Serial number: +(\S+)", about)[1]}

    def set_flag(self, flag):
        """Have the token tell that its PIN is locked, or almost: SoftHSM itself locks none."""
        (file,) = self.directory.glob("tokens/*/token.object")
        data = bytearray(file.read_bytes())
        # An attribute is its number, its kind (2 is a number) and its value, eight bytes each, in the order of the net.
        at = data.index((0x8000534B).to_bytes(8, "big") + (2).to_bytes(8, "big")) + 16
        flags = int.from_bytes(data[at : at + 8], "big") | flag
        file.write_bytes(data[:at] + flags.to_bytes(8, "big") + data[at + 8 :])

    def _run(self, *command):
        return subprocess.run(command, env=os.environ | self.env, check=True, capture_output=True)

    def url(self, label="payments", token="audit", more=""):
        return f"pkcs11:token={token};object={label}?module-path={self.library}{more}"


class RemoteHsm(Server):
    """A token of SoftHSM behind a socket, as one in the network is."""

    def __init__(self, hsm, directory):
        super().__init__(directory)
        self.hsm, self.socket = hsm, directory / "p11"
        self.env = hsm.env | {"P11_KIT_SERVER_ADDRESS": f"unix:path={self.socket}"}

    def command(self):
        server = program("p11-kit", "apt install p11-kit p11-kit-modules")
        return [server, "server", "-f", "-n", self.socket, "-p", self.hsm.library, "pkcs11:token=audit"]

    def options(self):
        return {"env": os.environ | self.hsm.env}

    def ready(self):
        return self.socket.exists()

    def url(self, more=""):
        library = _library("pkcs11/p11-kit-client.so", "apt install p11-kit p11-kit-modules")
        return f"pkcs11:token=audit;object=payments?module-path={library}{more}"


def _flush(tpm2, esapi):
    for kind in (tpm2.TPM2_HT.TRANSIENT, tpm2.TPM2_HT.LOADED_SESSION, tpm2.TPM2_HT.SAVED_SESSION):
        _, found = esapi.get_capability(tpm2.TPM2_CAP.HANDLES, int(kind) << 24, 100)
        for handle in list(found.data.handles):
            esapi.flush_context(esapi.tr_from_tpmpublic(handle))


class Tpm(Server):
    """A TPM 2.0 in software. Stopped and started again it is the same chip, in a machine that was started again."""

    def __init__(self, directory):
        try:
            import tpm2_pytss  # noqa: F401
        except ImportError:
            missing("tpm2-pytss", "apt install libtss2-dev, then make .venv/.group-tpm2")
        super().__init__(directory)
        while not _is_free(self.port + 1):  # where its clients look for the control channel
            self.port = free_port()
        self.env = {"TPM2TOOLS_TCTI": self.tcti()}

    def tcti(self, port=None):
        return f"swtpm:host=127.0.0.1,port={port or self.port}"

    def command(self):
        ports = [f"type=tcp,bindaddr=127.0.0.1,port={port}" for port in (self.port, self.port + 1)]
        where = ["--tpmstate", f"dir={self.directory}", "--server", ports[0], "--ctrl", ports[1]]
        return [program("swtpm", "apt install swtpm"), "socket", "--tpm2", *where, "--flags", "startup-clear"]

    @contextlib.contextmanager
    def wire(self):
        """Give what stands between the chip and its users, who find its control channel one port further."""
        while True:
            near = Proxy(self.port)
            try:
                control = Proxy(self.port + 1, near.port + 1)
                break
            except OSError:
                near.close()
        yield near
        near.close()
        control.close()

    def stop(self, number=signal.SIGTERM):
        super().stop(number)

    def forget_sessions(self):
        """Do what the resource manager of the kernel does when a process ends: free what it had in the chip."""
        self.call(_flush)

    def call(self, what, *arguments):
        """Ask the chip for something, as others on the machine may."""
        import tpm2_pytss

        with tpm2_pytss.ESAPI(self.tcti()) as esapi:
            return what(tpm2_pytss, esapi, *arguments)


@pytest.fixture(scope="session")
def softhsm():
    with own_directory("hsm") as directory:
        yield Hsm(directory).make_token().make_key()


@pytest.fixture
def hsm(softhsm):
    """A token with a key, whatever a test before has killed that used it."""
    softhsm.recover()
    return softhsm


@pytest.fixture(scope="session")
def tpm():
    with own_directory("tpm") as directory, running(Tpm(directory)) as server:
        yield server


@pytest.fixture
def pkcs11_custody(hsm):
    """A URL, and the environment that it wants."""
    return hsm.url(), hsm.env


@pytest.fixture(scope="session")
def tpm2_custody(tpm):
    return "tpm2:?pcrs=sha256:7+11", tpm.env

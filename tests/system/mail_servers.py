"""Mail servers for the system tests: exim with a configuration of its own, as a real one, and one by
aiosmtpd that can be told what to say. Both on loopback, on free ports, with their mails in a Maildir of the
test's folder; ended by their process, or with the test's own.
"""

import email
import email.policy
import mailbox
import os
import pathlib
import pwd
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading

from forebay import clean_environment
from shared import free_port, until

USER, PASSWORD = "ada", "grain:of@salt"
EXIM = shutil.which("exim4", path="/usr/sbin:/usr/local/sbin:" + os.environ.get("PATH", ""))
# Debian's exim lets nobody but root start it to listen, and delivers nothing as root: its user does.
HAS_EXIM = EXIM is not None and os.geteuid() == 0
EXIM_USER = "Debian-exim"

EXIM_CONFIG = """
spool_directory = {folder}/spool
log_file_path = {folder}/log/%slog
pid_file_path = {folder}/exim.pid
local_interfaces = 127.0.0.1
daemon_smtp_ports = {port}
primary_hostname = mail.example.test
tls_advertise_hosts = *
tls_certificate = {folder}/cert.pem
tls_privatekey = {folder}/key.pem
acl_smtp_rcpt = check_rcpt
acl_smtp_data = check_data
host_lookup =
rfc1413_query_timeout = 0s
keep_environment =
smtp_accept_max = 50
smtp_accept_max_per_host = 50
begin acl
check_rcpt:
  deny
    condition = ${{if eq{{$local_part}}{{nobody}}}}
    message = no such user here
  accept
    authenticated = *
  deny
    message = sign in first
check_data:
  accept
begin routers
all:
  driver = accept
  transport = maildir
begin transports
maildir:
  driver = appendfile
  directory = {folder}/mail
  maildir_format
  create_directory
  user = {user}
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_advertise_condition = ${{if def:tls_in_cipher}}
  server_condition = ${{if and{{{{eq{{$auth2}}{{{name}}}}}{{eq{{$auth3}}{{{password}}}}}}}}}
  server_set_id = $auth2
"""


def certify(folder):
    """A certificate for loopback that is its own authority: (cert, key)."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-days", "3650", "-subj", "/CN=localhost", "-addext",
                    "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", cert],
                   check=True, capture_output=True)
    return cert, key


def parse(path):
    """A mail as Python's email module reads it; what is wrong with it is an error."""
    with open(path, "rb") as file:
        message = email.message_from_binary_file(file, policy=email.policy.default)
    for part in message.walk():
        if part.defects:
            raise AssertionError(f"{path}: {part.defects}")
    return message


class Mails:
    """What arrived in a Maildir."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)

    def paths(self):
        new = self.folder / "new"
        return sorted(path for path in new.iterdir() if path.is_file()) if new.is_dir() else []

    def wait(self, count, of=lambda message: True):
        """At least so many messages for which of(message) is true."""
        def there():
            found = [message for message in map(parse, self.paths()) if of(message)]
            return found if len(found) >= count else None
        return until(there, f"{count} mails in {self.folder}")


class Exim:
    def __init__(self):
        # Its user has to get there, whatever the folder of the tests allows.
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="forebay-test.", dir="/var/tmp"))
        self.port = free_port()
        for name in ("spool", "log", "mail"):
            (self.folder / name).mkdir()
        self.cert, _ = certify(self.folder)
        file = self.folder / "exim.conf"
        file.write_text(EXIM_CONFIG.format(folder=self.folder, port=self.port, name=USER,
                                           password=PASSWORD,
                                           user=EXIM_USER))
        ids = pwd.getpwnam(EXIM_USER)
        for path in (self.folder, *self.folder.iterdir()):
            if path != file:
                os.chown(path, ids.pw_uid, ids.pw_gid)
        self.folder.chmod(0o755)
        self.words = [EXIM, "-C", str(file), "-bdf"]
        self.process = None
        self.mails = Mails(self.folder / "mail")

    @property
    def url(self):
        return f"smtp://127.0.0.1:{self.port}"

    def start(self):
        with open(self.folder / "out", "ab") as out:
            self.process = subprocess.Popen(self.words, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                            env=clean_environment(), cwd="/")
        try:
            until(lambda: socket.create_connection(("127.0.0.1", self.port), 5).close() or True, "exim")
        except AssertionError as error:
            error.add_note("\n".join(path.read_text(errors="replace")
                                     for path in (self.folder / "out", *(self.folder / "log").iterdir())))
            raise
        return self

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.folder)


class Scripted:
    """An aiosmtpd that says what it is told: `answers` maps a recipient's address to the reply of RCPT, and
    `data_answer` is that of the message. What it takes goes to its Maildir."""

    def __init__(self, folder, tls=True, auth=True):
        from aiosmtpd.controller import Controller
        from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
        self.folder = pathlib.Path(folder)
        self.folder.mkdir()
        self.box = mailbox.Maildir(self.folder / "mail", create=True)
        self.mails = Mails(self.folder / "mail")
        self.cert, key = certify(self.folder)
        self.answers = {}
        self.data_answer = None
        self.seen = []  # envelopes: (from, [to], who signed in)
        self.lock = threading.Lock()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.cert, key)
        owner = self

        def sign_in(server, session, envelope, mechanism, data):
            right = isinstance(data, LoginPassword) and (data.login, data.password) == (USER.encode(), PASSWORD.encode())
            return AuthResult(success=right, handled=right, auth_data=data.login.decode("utf-8", "replace"))

        class Handler:
            async def handle_RCPT(self, server, session, envelope, address, options):
                if address in owner.answers:
                    return owner.answers[address]
                envelope.rcpt_tos.append(address)
                return "250 fine"

            async def handle_DATA(self, server, session, envelope):
                with owner.lock:
                    if owner.data_answer:
                        return owner.data_answer
                    owner.seen.append((envelope.mail_from, envelope.rcpt_tos, session.auth_data))
                    owner.box.add(envelope.original_content)
                return "250 taken"

        class Bound(Controller):
            def factory(self):
                return SMTP(self.handler, hostname="mail.example.test", enable_SMTPUTF8=True,
                            tls_context=context if tls else None, require_starttls=tls,
                            authenticator=sign_in if auth else None, auth_required=auth,
                            auth_require_tls=tls)

        self.port = free_port()
        self.make = lambda: Bound(Handler(), hostname="127.0.0.1", port=self.port, ready_timeout=60)
        self.controller = None

    @property
    def url(self):
        return f"smtp://127.0.0.1:{self.port}"

    def start(self):
        self.controller = self.make()
        self.controller.start()
        return self

    def stop(self):
        if self.controller:
            self.controller.stop()
            self.controller = None

    __enter__ = start

    def __exit__(self, *_):
        self.stop()

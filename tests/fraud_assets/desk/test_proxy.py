"""The desk behind a real nginx, configured as docs/desk.md says: HTTPS, sign-in by the proxy, programs with a token."""

from __future__ import annotations

import ipaddress
import os
import re
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from fraud_assets.desk.people import Role
from tests.fraud_assets.desk.conftest import RunningDesk
from tests.fraud_assets.desk.site import PASSWORD, Person, Site
from tests.services.processes import Process, free_port, listening, wait_until

NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
GUIDE = Path(__file__).parents[3] / "docs" / "desk.md"
HEADER = "X-Forwarded-User"
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(NGINX is None, reason="no nginx on this machine: apt-get install nginx"),
    pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl on this machine"),
]


@pytest.fixture
def site(running_desk: RunningDesk) -> Iterator[Site]:
    proxies = [ipaddress.ip_network("127.0.0.1")]
    with running_desk(url="https://desk.example.org", user_header=HEADER, proxies=proxies) as site:
        yield site


@pytest.fixture
def proxy(site: Site, tmp_path: Path) -> Iterator[str]:
    """The address of nginx in front of the desk."""
    folder = tmp_path / "nginx"
    folder.mkdir()
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=desk.example.org"]
    made += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(folder / "desk.key"), "-out", str(folder / "desk.crt")]
    subprocess.run(made, check=True, capture_output=True)
    (folder / "desk.htpasswd").write_text(f"ines:{{PLAIN}}{PASSWORD}\nvera:{{PLAIN}}{PASSWORD}\n")
    port = free_port()
    [server] = re.findall("```nginx\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    server = server.replace("listen 443 ssl", f"listen 127.0.0.1:{port} ssl").replace("/etc/nginx", str(folder))
    server = server.replace("127.0.0.1:4000", urlsplit(site.url).netloc)
    paths = "".join(f"{name}_temp_path {folder / name};\n" for name in TEMPORARY)
    user = "user root;\n" if os.geteuid() == 0 else ""  # pytest's folders are its own user's
    (folder / "nginx.conf").write_text(
        f"{user}daemon off;\npid {folder / 'pid'};\nevents {{}}\nhttp {{\naccess_log off;\n{paths}{server}}}\n"
    )
    command = [NGINX, "-e", folder / "error.log", "-p", folder, "-c", folder / "nginx.conf"]
    process = Process(command, folder / "log", os.environ, folder)
    try:
        wait_until("nginx listens", lambda: process.ended or listening(port), 20)
        assert not process.ended, process.output()
        yield f"https://127.0.0.1:{port}"
    finally:
        process.end()


def client(proxy: str, tmp_path: Path, **options: object) -> httpx.Client:
    trusted = ssl.create_default_context(cafile=tmp_path / "nginx" / "desk.crt")
    host = {"Host": "desk.example.org"}
    return httpx.Client(base_url=proxy, verify=trusted, headers=host, follow_redirects=True, timeout=30, **options)  # type: ignore[arg-type]


def person(site: Site, proxy: str, tmp_path: Path, name: str) -> Person:
    browser = site.stranger()
    browser.http.close()
    browser.http = client(proxy, tmp_path, auth=(name, PASSWORD))
    return browser


def test_people_whom_the_proxy_signs_in_read_and_decide(site: Site, proxy: str, tmp_path: Path) -> None:
    ines = person(site, proxy, tmp_path, "ines")
    page = ines.get("/cases/1")
    assert "ines · investigator" in page.text and "Sign out" not in page.text
    assert "Secure" in page.headers["Set-Cookie"] and "HttpOnly" in page.headers["Set-Cookie"]
    answer = ines.post("/cases/1/decide", decision="fraud", reason_fraud="mule")
    assert answer.status_code == 200 and answer.url.path == "/cases/2" and answer.url.scheme == "https"
    assert site.store.case("1").decided_by == "ines"
    vera = person(site, proxy, tmp_path, "vera")
    vera.get("/cases/2")
    # a viewer's page has no form, and so no token
    assert vera.post("/cases/2/decide", decision="fraud", reason_fraud="mule").status_code == 400
    vera.fields["csrf_token"] = ines.fields["csrf_token"]
    assert vera.post("/cases/2/decide", decision="fraud", reason_fraud="mule").status_code == 400
    assert site.store.case("2").status == "open"


def test_the_proxy_lets_nobody_name_another_person(site: Site, proxy: str, tmp_path: Path) -> None:
    with client(proxy, tmp_path) as stranger:
        assert stranger.get("/", headers={HEADER: "lea"}).status_code == 401
    vera = person(site, proxy, tmp_path, "vera")
    for name in (HEADER, HEADER.lower(), HEADER.upper()):
        assert "vera · viewer" in vera.http.get("/", headers={name: "lea"}).text
    # to nginx a name with underscores is not valid, and it does not pass it on
    assert "vera · viewer" in vera.http.get("/", headers={"X_Forwarded_User": "lea"}).text


def test_a_program_reaches_the_api_with_its_token_only(site: Site, proxy: str, tmp_path: Path) -> None:
    token = site.accounts.add_token("tickets", Role.VIEWER)
    with client(proxy, tmp_path) as program:
        assert program.get("/api/cases", headers={HEADER: "lea"}).status_code == 401
        cases = program.get("/api/cases", headers={"Authorization": f"Bearer {token}"}).json()["cases"]
    assert [case["link"] for case in cases] == [f"https://desk.example.org/cases/{number}" for number in (1, 2)]

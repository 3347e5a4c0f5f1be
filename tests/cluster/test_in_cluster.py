"""scripts/image and scripts/deploy/in-cluster.yaml: a real kube-apiserver takes the manifest, and the image's two programs, each in
the image's root as its container has it (read-only, that user, no capabilities, those volumes), sign somebody in."""
import base64
import contextlib
import hashlib
import io
import json
import os
import pathlib
import socket
import subprocess
import tarfile

import harness
import pytest
import yaml

MANIFEST = harness.ROOT / "scripts/deploy/in-cluster.yaml"
NAMESPACE = "gatehouse-as-deployed"  # other tests have a "gatehouse", and without its controller no namespace goes away
PERSON, PASSWORD = "carol@example.com", "a password of carol"


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    file = tmp_path_factory.mktemp("image") / "image.tar"
    subprocess.run([harness.ROOT / "scripts/image", file], check=True)
    with tarfile.open(file) as tar:
        return file.read_bytes(), {m.name: tar.extractfile(m).read() for m in tar.getmembers()}


def blob(files, descriptor):
    kind, digest = descriptor["digest"].split(":")
    data = files[f"blobs/{kind}/{digest}"]
    assert hashlib.sha256(data).hexdigest() == digest and len(data) == descriptor["size"]
    return data


def layer_of(files):
    index = json.loads(files["index.json"])
    manifest = json.loads(blob(files, index["manifests"][0]))
    return blob(files, manifest["layers"][0]), json.loads(blob(files, manifest["config"]))


def test_the_image_is_what_its_digests_say_and_the_same_each_time(image, tmp_path):
    whole, files = image
    layer, config = layer_of(files)
    with tarfile.open(fileobj=io.BytesIO(layer), mode="r:gz") as tar:
        names = {m.name: m for m in tar.getmembers()}
    assert {"usr/local/sbin/authd", "usr/local/sbin/proxyd", "etc/ssl/certs/ca-certificates.crt"} <= set(names)
    assert not [n for n in names if n.endswith(("/sh", "/bash"))]
    assert all(m.mode & 0o7002 == 0 for n, m in names.items() if n != "tmp"), "nothing runs as its owner, nothing is everybody's to write"
    assert config["config"]["User"] == "65532:65530" and config["config"]["StopSignal"] == "SIGQUIT"
    docker = json.loads(files["manifest.json"])[0]
    assert docker["Config"] in files and all(name in files for name in docker["Layers"])
    again = tmp_path / "again.tar"
    subprocess.run([harness.ROOT / "scripts/image", again], check=True)
    assert again.read_bytes() == whole


@pytest.fixture(scope="module")
def manifest():
    text = MANIFEST.read_text()
    moved = text.replace("namespace: gatehouse}", f"namespace: {NAMESPACE}}}").replace("\n  name: gatehouse\n", f"\n  name: {NAMESPACE}\n")
    assert moved.count(NAMESPACE) == text.count("namespace: gatehouse") + 1
    return moved


@pytest.fixture(scope="module")
def applied(cluster, manifest):
    """The manifest in the cluster, and its documents by kind."""
    cluster.kubectl("apply", "-f", str(harness.ROOT / "scripts/deploy/impersonator.yaml"))
    cluster.kubectl("apply", "-f", "-", input=manifest)
    documents = list(yaml.safe_load_all(manifest))
    yield {d["kind"]: d for d in documents}
    bindings = [d["metadata"]["name"] for d in documents if d["kind"] == "ClusterRoleBinding"]
    cluster.kubectl("delete", "clusterrolebinding", *bindings)


def test_the_manifest_is_taken_without_a_warning(cluster, applied, manifest):
    done = cluster.kubectl("apply", "--dry-run=server", "--warnings-as-errors", "-f", "-", input=manifest)
    assert "deployment.apps/gatehouse" in done.stdout
    # its namespace enforces the restricted standard: the pod itself must pass, not only the deployment
    pod = applied["Deployment"]["spec"]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": pod["metadata"] | {"name": "as-deployed", "namespace": NAMESPACE}, "spec": pod["spec"]}
    cluster.kubectl("apply", "--dry-run=server", "-f", "-", input=json.dumps(pod))


class Container(harness.Program):
    """A container of the deployment, run in the image's root by the kernel's own means: mounts, chroot, setpriv."""

    def __init__(self, folder, layer, container, volumes, env, notify_in):
        self.name, self.folder = container["name"], folder
        self.root, self.log_file = folder / "root", folder / "log"
        self.root.mkdir(parents=True)
        with tarfile.open(fileobj=io.BytesIO(layer), mode="r:gz") as tar:
            tar.extractall(self.root, numeric_owner=True)
        mounts = [("/proc", "proc"), ("/dev", "dev")]
        mounts += [(volumes[m["name"]], m["mountPath"].lstrip("/")) for m in container["volumeMounts"]]
        for _, inside in mounts:
            (self.root / inside).mkdir(parents=True, exist_ok=True)
        lines = ["set -e", 'mount --bind "$1" "$1"', *[f'mount --rbind "{outside}" "$1/{inside}"' for outside, inside in mounts]]
        security = container["securityContext"]
        assert security["readOnlyRootFilesystem"] and security["capabilities"]["drop"] == ["ALL"]
        lines.append('mount -o remount,bind,ro "$1"')
        inside = ["chroot", *([f"--userspec={security['runAsUser']}:65530", "--groups=65530"] if os.geteuid() == 0 else []), str(self.root)]
        lines.append('shift; exec setpriv --no-new-privs -- "$@"')
        self.command = ["unshare", *([] if os.geteuid() == 0 else ["--map-root-user"]), "--mount", "sh", "-c", "\n".join(lines), "sh", str(self.root)]
        self.command += [*inside, "/usr/local/sbin/" + container["args"][0], *container["args"][1:]]
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(str(notify_in / f"{self.name}.notify"))
        os.chmod(notify_in / f"{self.name}.notify", 0o666)
        self.env = {"PATH": os.environ["PATH"], "NOTIFY_SOCKET": f"/run/gatehouse/{self.name}.notify"} | env

    def start(self):
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.env)
        self.wait_state("READY=1")
        return self


def volume(folder, files, group=65530):
    """A folder as kubelet makes it of a ConfigMap or Secret: files root:fsGroup 0440."""
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o440)
        if os.geteuid() == 0:
            os.chown(folder / name, 0, group)
    return folder


def own(folder, mode):
    folder.mkdir()
    if os.geteuid() == 0:
        os.chown(folder, 0, 65530)
    folder.chmod(mode)
    return folder


def test_the_image_signs_somebody_in_to_the_cluster(cluster, applied, image, tmp_path):
    layer, _ = layer_of(image[1])
    port, admin_port = harness.free_ports(2)
    gateway_url = f"https://localhost:{port}"
    config = {
        name: text.replace("https://gateway.example.com", gateway_url).replace(":8443", f":{port}").replace(":9443", f":{admin_port}")
        for name, text in applied["ConfigMap"]["data"].items()
    }
    # what a test has instead: a person with a password, and the cluster's address outside of it
    config["authd.yaml"] += yaml.safe_dump(
        {
            "enablePasswordDB": True,
            "oauth2": {"skipApprovalScreen": True},
            "staticPasswords": [
                {"email": PERSON, "hash": harness.password_hash(PASSWORD), "username": "carol", "userID": "id-carol", "groups": ["acme:platform"]}
            ],
        }
    )
    assert "https://kubernetes.default.svc" in config["kubeconfig"]
    config["kubeconfig"] = config["kubeconfig"].replace("https://kubernetes.default.svc", cluster.url)
    certificates = harness.Certificates(tmp_path / "pki")
    cert, key = certificates.issue("gateway", "/CN=gateway", "DNS:localhost,IP:127.0.0.1")
    token = cluster.kubectl("create", "token", "gatehouse-proxy", "-n", NAMESPACE, "--duration=1h").stdout
    volumes = {
        "config": volume(tmp_path / "config", config),
        "tls": volume(tmp_path / "tls", {"tls.crt": cert.read_text(), "tls.key": key.read_text()}),
        "cluster": volume(tmp_path / "cluster", {"token": token, "ca.crt": pathlib.Path(cluster.ca).read_text()}),
        "run": own(tmp_path / "run", 0o2777),
        "store": own(tmp_path / "store", 0o2775),
    }
    spec = {c["name"]: c for c in applied["Deployment"]["spec"]["template"]["spec"]["containers"]}
    secrets = {e["name"]: "of-a-secret" for e in spec["authd"]["env"]}

    class Outside(harness.Gateway):
        """What a browser and kubectl see of it."""

        def __init__(self):  # pylint: disable=super-init-not-called
            self.port, self.url, self.issuer, self.ca = port, gateway_url, gateway_url + "/oidc", certificates.ca

    with contextlib.ExitStack() as stack:
        for name, env in (("authd", secrets), ("proxyd", {})):
            container = Container(tmp_path / f"container-{name}", layer, spec[name], volumes, env, volumes["run"])
            stack.callback(container.close)
            container.start()
        tokens = harness.Person(Outside(), PERSON, PASSWORD).sign_in(connector="local")
        claims = json.loads(base64.urlsafe_b64decode(tokens["id_token"].split(".")[1] + "=="))
        assert claims["iss"] == gateway_url + "/oidc"
        kubeconfig = Outside().write_kubeconfig(tmp_path / "kubeconfig", {"token": tokens["id_token"]})
        me = cluster.kubectl("auth", "whoami", "-o", "json", kubeconfig=kubeconfig)
        info = json.loads(me.stdout)["status"]["userInfo"]
        assert info["username"] == PERSON and "acme:platform" in info["groups"]
        # cluster-admin by the manifest's last document
        assert cluster.kubectl("auth", "can-i", "*", "*", kubeconfig=kubeconfig).stdout.strip() == "yes"

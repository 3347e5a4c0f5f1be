"""Files that change under a running proxyd: certificates, keys, authorities and kubeconfigs are taken without a signal; the configuration waits for one,
unless it says reloadOnChange."""
import json
import ssl

from gatehouse import Proxyd, Upstream, connect, proxyd_config, request


def shown(proxyd, ca):
    """The serial number of the certificate that a client is shown."""
    with connect(proxyd.address, ca) as client:
        return ssl.DER_cert_to_PEM_cert(client.getpeercert(True))


def test_a_renewed_certificate_is_shown_without_a_signal(tmp_path, ca, issuer, upstream):
    with Proxyd(tmp_path, proxyd_config(ca, [issuer], upstream)) as proxyd:
        before, mark = shown(proxyd, ca), proxyd.mark()
        ca.issue("gateway")  # the certificate, and then the key that belongs to it
        assert proxyd.wait_log("file changed", after=mark)["file"].endswith(("gateway.pem", "gateway.key"))
        proxyd.wait_log("reload: done", after=mark)
        proxyd.wait_log("generation gone", after=mark)
        assert shown(proxyd, ca) != before
        assert request(proxyd.address, "GET", "/version", ca, token=issuer.mint())[0] == 200


def test_a_file_that_is_broken_changes_nothing_until_it_is_mended(tmp_path, ca, issuer, upstream):
    with Proxyd(tmp_path, proxyd_config(ca, [issuer], upstream)) as proxyd:
        before, mark = shown(proxyd, ca), proxyd.mark()
        key = tmp_path / "pki/gateway.key"
        whole = key.read_bytes()
        key.write_bytes(b"half of a k")
        failed = proxyd.wait_log("reload: failed, the configuration in use stays", after=mark)
        assert "listen[0].tls" in failed["reason"]
        assert shown(proxyd, ca) == before
        mark = proxyd.mark()
        key.write_bytes(whole)
        proxyd.wait_log("reload: done", after=mark)
        # said once, however often it was looked at
        assert len(proxyd.find_log("reload: failed, the configuration in use stays")) == 1


def test_a_kubeconfig_that_leads_elsewhere_is_followed(tmp_path, ca, issuer, upstream):
    with Proxyd(tmp_path, proxyd_config(ca, [issuer], upstream)) as proxyd, Upstream(ca) as other:
        token, mark = issuer.mint(), proxyd.mark()
        assert request(proxyd.address, "GET", "/version", ca, token=token)[0] == 200
        other.kubeconfig()  # in the place of the first one's
        assert proxyd.wait_log("file changed", after=mark)["file"].endswith("upstream.kubeconfig")
        proxyd.wait_log("generation gone", after=mark)
        assert request(proxyd.address, "GET", "/version", ca, token=token)[0] == 200
        assert len(other.requests) == 1 and len(upstream.requests) == 1


def test_the_configuration_waits_for_a_signal_and_holds_back_the_rest(tmp_path, ca, issuer, upstream):
    config = proxyd_config(ca, [issuer], upstream)
    with Proxyd(tmp_path, config) as proxyd:
        mark = proxyd.mark()
        proxyd.write(config | {"workers": 1})
        ca.issue("gateway")
        said = proxyd.wait_log("file changed, but so has the configuration, which waits for HUP: neither is taken", after=mark)
        assert said["level"] == "warn"
        assert not proxyd.find_log("reload: started")
        assert proxyd.reload()["workers"] == 1


def test_the_configuration_is_followed_where_it_says_so(tmp_path, ca, issuer, upstream):
    config = proxyd_config(ca, [issuer], upstream, reloadOnChange=True)
    with Proxyd(tmp_path, config) as proxyd:
        mark = proxyd.mark()
        proxyd.write(config | {"workers": 1})
        assert proxyd.wait_log("reload: done", after=mark)["workers"] == 1
        mark = proxyd.mark()
        proxyd.write(config | {"workers": "many"})
        assert "workers" in proxyd.wait_log("reload: failed, the configuration in use stays", after=mark)["reason"]
        assert request(proxyd.address, "GET", "/version", ca, token=issuer.mint())[0] == 200


def test_it_is_true_or_false(tmp_path, ca):
    proxyd = Proxyd(tmp_path, proxyd_config(ca, reloadOnChange="often"))
    checked = proxyd.check()
    assert checked.returncode == 1 and "reloadOnChange: expected true or false" in checked.stderr, json.dumps(checked.stderr)

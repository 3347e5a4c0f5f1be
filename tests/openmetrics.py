"""A strict reader of OpenMetrics 1.0 text: what a scraper would stumble over is an AssertionError with the line."""
import math
import re

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
SAMPLE = re.compile(rf"({NAME})(?:\{{(.*)\}})? (\S+)")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)')
SUFFIXES = {"counter": ["_total"], "gauge": [""], "info": ["_info"], "histogram": ["_bucket", "_count", "_sum"]}


class Metrics(dict):
    """{(sample name, frozenset of (label, value)): number}."""

    def get_one(self, name, **labels):
        """The one sample of that name with these labels among its own; 0 if there is none."""
        found = [value for (n, have), value in self.items() if n == name and set(labels.items()) <= have]
        assert len(found) < 2, f"{name} {labels}: {len(found)} samples"
        return found[0] if found else 0

    def sum(self, name, **labels):
        return sum(value for (n, have), value in self.items() if n == name and set(labels.items()) <= have)


def labels_of(text, line):
    labels, at = {}, 0
    while at < len(text):
        m = LABEL.match(text, at)
        assert m, f"labels: {line}"
        assert m.group(1) not in labels, f"a label twice: {line}"
        labels[m.group(1)] = re.sub(r"\\(.)", lambda e: "\n" if e.group(1) == "n" else e.group(1), m.group(2))
        at = m.end()
    return labels


def number(text, line):
    assert re.fullmatch(r"[+-]?(\d+(\.\d+)?([eE][+-]?\d+)?|Inf)|NaN", text), f"number: {line}"
    return float(text.replace("Inf", "inf"))


def histograms(metrics, family):
    """Each has cumulative buckets that end in +Inf, which is its count; its sum is of a number that is there."""
    series = {}
    for (name, labels), value in metrics.items():
        if name == family + "_bucket":
            le = [v for k, v in labels if k == "le"]
            assert len(le) == 1, labels
            series.setdefault(frozenset(x for x in labels if x[0] != "le"), []).append((number(le[0], le[0]), value))
    for labels, buckets in series.items():
        assert [le for le, _ in buckets] == sorted(le for le, _ in buckets) and buckets[-1][0] == math.inf, (family, buckets)
        assert [n for _, n in buckets] == sorted(n for _, n in buckets), (family, buckets)
        assert metrics[family + "_count", labels] == buckets[-1][1] and (family + "_sum", labels) in metrics, family
    assert {labels for (name, labels) in metrics if name == family + "_count"} == set(series), family


def parse(text):
    metrics, types, family, metadata = Metrics(), {}, None, set()
    assert text.endswith("# EOF\n") and text.count("# EOF") == 1, "the end"
    for line in text.splitlines()[:-1]:
        m = re.fullmatch(rf"# (TYPE|UNIT|HELP) ({NAME}) (.+)", line)
        if m:
            kind, name, rest = m.groups()
            assert (kind, name) not in metadata, f"twice: {line}"
            metadata.add((kind, name))
            if kind == "TYPE":
                assert rest in SUFFIXES and name not in types, line
                types[name] = rest
                family = name
            assert name == family, f"out of place: {line}"
            assert kind != "UNIT" or name.endswith("_" + rest), f"a unit that the name does not end with: {line}"
            assert kind != "TYPE" or rest != "counter" or not name.endswith("_total"), line
            continue
        m = SAMPLE.fullmatch(line)
        assert m and family, f"no sample: {line}"
        name, labels, value = m.group(1), frozenset(labels_of(m.group(2) or "", line).items()), number(m.group(3), line)
        assert name in [family + suffix for suffix in SUFFIXES[types[family]]], f"not of family {family}: {line}"
        assert (name, labels) not in metrics, f"a series twice: {line}"
        assert types[family] == "gauge" or value >= 0, f"counts go up: {line}"
        metrics[name, labels] = value
    for name, kind in types.items():
        assert ("HELP", name) in metadata, f"{name} has no HELP"
        if kind == "histogram":
            histograms(metrics, name)
    return metrics

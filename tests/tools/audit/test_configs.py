"""What a config may hold: everything else is a finding, by its kind."""

from __future__ import annotations

import json

import pytest

from tools.audit.configs import Configs

# every one of these reaches the machine, or would with one step more, in MONAI 1.6.1
NASTY = {
    "lambda": ({"f": "$lambda x: x"}, "expression"),
    "dunder": ({"f": "$().__class__.__base__.__subclasses__()"}, "expression"),
    "import statement": ({"imports": ["$import os, subprocess"]}, "import"),
    "import under a known name": ({"imports": ["$import subprocess as glob"]}, "import"),
    "import of a function as a builtin": ({"imports": ["$from os import system as len"]}, "import"),
    "__import__": ({"f": "$__import__('os').system('id')"}, "expression"),
    "eval": ({"f": "$eval('1')"}, "expression"),
    "exec as a value": ({"f": "$exec"}, "expression"),
    "system": ({"imports": ["$import os"], "f": "$os.system('id')"}, "expression"),
    "environment": ({"f": "$os.environ['HOME']"}, "expression"),
    "open": ({"f": "$open('x', 'w').write('y')"}, "expression"),
    "pathlib": ({"f": "$pathlib.Path('x').unlink()"}, "expression"),
    "torch.load": ({"f": "$torch.load('models/model.pt', weights_only=False)"}, "expression"),
    "torch.hub": ({"f": "$torch.hub.load('a/b', 'c')"}, "expression"),
    "torch's own os": ({"f": "$torch.os.system('id')"}, "expression"),
    "numpy.load": ({"f": "$np.load('x.npy', allow_pickle=True)"}, "expression"),
    "builtins by a reference": ({"a": "$__builtins__", "b": "$@a['eval']('1')"}, "expression"),
    "a reference called": ({"a": "$print", "b": "$@a('x')"}, "expression"),
    "an entry of a reference called": ({"b": "$@a[0]('x')"}, "expression"),
    "getattr by a reference": ({"b": "$getattr(@a, @c)"}, "expression"),
    "getattr of a dunder": ({"b": "$getattr(@a, '__globals__')"}, "expression"),
    "getattr of joined texts": ({"b": "$getattr(@a, '__glo' + 'bals__')"}, "expression"),
    "setattr of a function": ({"b": "$setattr(torch.distributed, 'barrier', @evil)"}, "expression"),
    "setattr elsewhere": ({"b": "$setattr(@network_def, 'forward', 1)"}, "expression"),
    "globals of a method": ({"b": "$@train#trainer.run.__globals__"}, "expression"),
    "frame": ({"b": "$@a.gi_frame"}, "expression"),
    "an unknown method": ({"b": "$@a.system('id')"}, "expression"),
    "format": ({"b": "$'{0.__class__}'.format(@a)"}, "expression"),
    "percent": ({"b": "$'%s' % @a"}, "expression"),
    "comprehension": ({"b": "$[torch.device(x) for torch in [@a] for x in 'y']"}, "expression"),
    "walrus": ({"b": "$(len := @a)"}, "expression"),
    "await": ({"b": "$await @a"}, "expression"),
    "star": ({"b": "$print(*@a)"}, "expression"),
    "star star": ({"b": "$dict(**@a)"}, "expression"),
    "two statements": ({"b": "$1; 2"}, "expression"),
    "two lines": ({"b": "$1\nimport os"}, "expression"),
    "MONAI's own name": ({"b": "$__local_refs['a']('x')"}, "expression"),
    "wide letters": ({"b": "$\uff45val('1')"}, "expression"),
    "a long power": ({"b": "$9 ** 9 ** 9"}, "expression"),
    "a long text": ({"b": "$'a' * 10000000000"}, "expression"),
    "a very long expression": ({"b": "$" + "1 + " * 500 + "1"}, "expression"),
    "no Python": ({"b": "$for"}, "expression"),
    "a relative id below a crafted key": ({"], evil(), [": {"b": "$@#c"}}, "reference"),
    "target: builtin": ({"x": {"_target_": "eval"}}, "target"),
    "target: system": ({"x": {"_target_": "os.system", "command": "id"}}, "target"),
    "target: Popen": ({"x": {"_target_": "subprocess.Popen"}}, "target"),
    "target: partial": ({"x": {"_target_": "functools.partial", "func": "$print"}}, "target"),
    "target: runpy": ({"x": {"_target_": "runpy.run_path"}}, "target"),
    "target: importlib": ({"x": {"_target_": "importlib.import_module"}}, "target"),
    "target: pickle": ({"x": {"_target_": "pickle.load"}}, "target"),
    "target: torch.load": ({"x": {"_target_": "torch.load", "f": "models/model.pt"}}, "target"),
    "target: torch.hub": ({"x": {"_target_": "torch.hub.load"}}, "target"),
    "target: compiler": ({"x": {"_target_": "torch.utils.cpp_extension.load_inline"}}, "target"),
    "target: own code": ({"x": {"_target_": "scripts.evil.Network"}}, "target"),
    "target: MONAI's import": ({"x": {"_target_": "monai.utils.optional_import", "module": "os"}}, "target"),
    "target: MONAI's import by its short name": ({"x": {"_target_": "optional_import", "module": "os"}}, "target"),
    "target: MONAI's bundle run": ({"x": {"_target_": "monai.bundle.run"}}, "target"),
    "target: MONAI's download": ({"x": {"_target_": "monai.apps.download_url"}}, "target"),
    "target: through a module": ({"x": {"_target_": "monai.data.utils.os.system"}}, "target"),
    "target: a class through a module": ({"x": {"_target_": "torch.nn.parallel.distributed.Path"}}, "target"),
    "target: pickles in a database": ({"x": {"_target_": "monai.data.LMDBDataset"}}, "target"),
    "target: our own writer": ({"x": {"_target_": "medbundles.atomic_files.write_text_atomic"}}, "target"),
    "target: a package we import": ({"x": {"_target_": "medbundles.data.Path"}}, "target"),
    "target: an expression": ({"x": {"_target_": "$@a + '.system'"}}, "reference"),
    "target: a reference": ({"x": {"_target_": "@a"}}, "reference"),
    "target: a component": ({"x": {"_target_": {"_target_": "torch.nn.ReLU"}}}, "reference"),
    "target: in a key": ({"network_def#_target_": "os.system"}, "target"),
    "target: in a merged key": ({"+train::trainer::_target_": "os.system"}, "target"),
    "debugger": ({"x": {"_target_": "torch.nn.ReLU", "_mode_": "debug"}}, "target"),
    "mode by a reference": ({"x": {"_target_": "torch.nn.ReLU", "_mode_": "@m"}}, "target"),
    "reader": ({"x": {"_target_": "LoadImaged", "keys": "image", "reader": "subprocess.Popen"}}, "target"),
    "reader by a reference": ({"x": {"_target_": "LoadImaged", "keys": "image", "reader": "@r"}}, "reference"),
    "writer": ({"x": {"_target_": "SaveImage", "writer": "scripts.evil.Writer"}}, "target"),
    "merger": ({"x": {"_target_": "PatchInferer", "merger_cls": "os.system"}}, "target"),
    "a name of code as a value": ({"x": "subprocess.Popen"}, "reference"),
    "weights_only": ({"x": {"_target_": "PersistentDataset", "weights_only": False}}, "pickle"),
    "weights_only as an expression": ({"x": {"weights_only": "$not True"}}, "pickle"),
    "allow_pickle": ({"x": {"_target_": "NumpyReader", "allow_pickle": True}}, "pickle"),
    "absolute path": ({"output_dir": "/etc/cron.d"}, "path"),
    "home": ({"output_dir": "~/.ssh"}, "path"),
    "upwards": ({"output_dir": "runs/../../x"}, "path"),
    "upwards on Windows": ({"output_dir": "..\\..\\x"}, "path"),
    "drive": ({"output_dir": "C:\\x"}, "path"),
    "upwards in an expression": ({"output_dir": "$@bundle_root + '/../x'"}, "path"),
    "upwards in pieces": ({"output_dir": "$@bundle_root + '/.' + './x'"}, "path"),
    "upwards in an f-string": ({"output_dir": '$f"{@bundle_root}/../x"'}, "path"),
    "upwards by join": ({"output_dir": "$os.path.join(@bundle_root, '..', 'x')"}, "path"),
    "join with a root": ({"output_dir": "$os.path.join(@bundle_root, '/etc')"}, "path"),
    "macro": ({"x": "%/etc/x.json::a"}, "path"),
    "macro upwards": ({"x": "%../x.json"}, "path"),
    "address": ({"x": "https://example.org/model.pt"}, "url"),
    "address in an expression": ({"x": "$'https://' + 'example.org'"}, "url"),
    "file address": ({"x": "file:///etc/passwd"}, "url"),
    "an import referred to": ({"t": "$import torch", "x": "$@t.builtins.eval('1')"}, "expression"),
    "the list of imports referred to": ({"imports": ["$import torch"], "s": "@imports#0"}, "reference"),
    "getattr of an import": ({"t": "$import torch", "x": "$getattr(@t, 'builtins').eval('1')"}, "reference"),
    "a harmless method of a module": ({"x": "$@t.os.replace('a', 'b')"}, "expression"),
    "a callable by name": ({"x": "$max(['id'], key=@t.os.system)"}, "expression"),
    "modules behind an object": ({"x": "$max(['id'], @d.multiprocessing_context.reducer.os.system)"}, "expression"),
    "a builtin handed on": ({"x": {"_target_": "Lambda", "func": "$print"}}, "expression"),
    "a wide letter in MONAI's own name": ({"x": "$__\uff4cocal_refs[__import__('os').system('id')]"}, "expression"),
    "a wide letter behind a text": ({"x": "$'\\'' + \uff45val('1') + '\\''"}, "expression"),
    "a relative id in any text": ({"' and evil() and '": {"b": "$'a%::b'"}}, "reference"),
    "a relative id behind a dot": ({"x.__class__": {"b": "$list[@::int]"}}, "reference"),
    "readers in a list": ({"x": {"_target_": "LoadImage", "reader": ["torch.os.system"]}}, "target"),
    "a reader in a key": ({"x::reader::0": "torch.os.system"}, "target"),
    "readers by a reference": ({"x": {"_target_": "LoadImage", "reader": ["@r"]}}, "reference"),
    "MONAI's own evaluation as a text": ({"x": "monai.bundle.scripts.run"}, "reference"),
    "torch's own os as a text": ({"x": "torch.os.system"}, "reference"),
    "breakpoint": ({"x": {"_target_": "torch.nn.ReLU", "_debug_": True}}, "target"),
    "logging's own key": ({"x": {"()": "os.system"}}, "target"),
    "macro behind a relative id": ({"x": "%::/etc/x.json::a"}, "path"),
    "macro behind a line": ({"x": "%foo\n/etc/x.json::a"}, "path"),
    "macro by a key": ({"../x.json": {"b": "%::a"}}, "reference"),
    "a text backwards": ({"x": "$'dwssap/cte/'[::-1]"}, "expression"),
    "a part of a text": ({"x": "$'x/etc'[1:]"}, "expression"),
    "a text replaced": ({"x": "$'x/etc'.replace('x', '')"}, "expression"),
    "dots in an f-string": ({"x": "$f\"{'.'}{'.'}/x\""}, "path"),
    "dots by references": ({"a": ".", "x": "$@a + @a + '/x'"}, "path"),
    "dots by references to references": ({"a": ".", "b": "@a", "c": "$@b + '.'", "x": "$@c + '/x'"}, "path"),
    "one of two texts": ({"x": "$('/' if @a else '') + 'etc/x'"}, "path"),
    "a call in an f-string of a sum": ({"x": "$@a + f\"{__import__(1)}\""}, "expression"),
    "a call in a sum": ({"x": "$@a + @b.system('id')"}, "expression"),
    "a text from a function": ({"x": "$min('.', 'x') + './x'"}, "expression"),
    "a path in a description": ({"description": "/etc/cron.d", "output_dir": "@description"}, "path"),
    "metadata referred to": ({"output_dir": "@_meta_#out"}, "reference"),
    "metadata by a macro": ({"output_dir": "%configs/metadata.json::out"}, "reference"),
    "address of a process group": ({"x": "$torch.distributed.init_process_group('tcp://1.2.3.4:5')"}, "url"),
    "address of a database": ({"x": "mysql+pymysql://u@h/d"}, "url"),
    "file without slashes": ({"x": "file:/etc/passwd"}, "url"),
    "absolute sqlite": ({"x": "sqlite:////tmp/x.db"}, "url"),
    "scp": ({"x": "git@example.org:a/b"}, "url"),
    "pretrained": ({"x": {"_target_": "DenseNet121", "pretrained": True}}, "url"),
    "downloaded code": ({"x": {"_target_": "PerceptualLoss", "spatial_dims": 3}}, "target"),
    "ignite's loggers": ({"x": {"_target_": "ignite.handlers.VisdomLogger", "server": "h"}}, "target"),
    "our own logger": ({"wandb": {"enabled": True}}, "url"),
    "our own logger in another place": ({"x": {"_target_": "medbundles.handlers.WandB", "enabled": True}}, "url"),
    "datapipes": ({"x": {"_target_": "torch.utils.data.datapipes.iter.RoutedDecoder"}}, "target"),
    "ignite's engine": ({"x": {"_target_": "ignite.engine.Engine", "process_function": "@f"}}, "target"),
    "a list without an end": ({"x": "$list(range(10 ** 12))"}, "expression"),
    "a key without an end": ({"k" * 1000: 1}, "unreadable"),
    "a key that looks like code": ({"$import os": 1}, "expression"),
    "too deep": ({"x": json.loads("[" * 80 + "]" * 80)}, "unreadable"),
}  # fmt: skip


def rules(content: bytes, name: str = "configs/train.json") -> set[str]:
    return {finding.rule for finding in Configs({name: content}).findings()}


@pytest.mark.parametrize("name", NASTY)
def test_what_reaches_the_machine_is_found(name):
    config, rule = NASTY[name]
    assert rule in rules(json.dumps(config).encode())


PLAIN = [
    "$@epochs // 2 + 1", "$@output_dir + '/cache'", "$len(@class_names) if @x else None", "$torch.device('cuda:0')",
    "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')", "$@train#trainer.run()",
    "$@train#dataset.data['c'][0]",
    "$isinstance(@seed, int) and torch.manual_seed(@seed % 2**32)", "$getattr(@network_def, 'scale', 1.0)",
    "$setattr(torch.backends.cudnn, 'benchmark', True)", "$import glob", "$import numpy as np", "$@a > 1 and not @b",
    "$os.path.join(@bundle_root, 'models', 'model.pt')", '$f"{@output_dir}/x"', "$[1, 2, @a]", "$-@x * 0.5 ** 2",
    "$'sqlite:///' + @output_dir + '/mlruns.db'", "$torch.bfloat16", "$np.float32",
]  # fmt: skip


@pytest.mark.parametrize("text", PLAIN)
def test_references_paths_arithmetic_and_comparisons_are_plain(text):
    assert not rules(json.dumps({"x": text}).encode())


def test_components_of_the_four_packages_are_plain():
    names = ["LoadImaged", "monai.networks.nets.UNet", "torch.optim.Adam", "ignite.metrics.Accuracy"]
    names += ["medbundles.handlers.Run", "medbundles.data.split_of", "torch.nn.parallel.DistributedDataParallel"]
    content = json.dumps([{"_target_": name, "_mode_": "callable", "reader": "PILReader"} for name in names])
    assert not rules(content.encode())


def test_a_key_that_stands_twice_is_found_and_both_values_are_read():
    assert rules(b'{"x": {"_target_": "os.system"}, "x": 1}') == {"unreadable", "target"}


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe{}", b"[" * 100_000, b"\xef\xbb\xbf{}"])
def test_what_cannot_be_read_is_a_finding(content):
    assert rules(content) == {"unreadable"}


def test_yaml_is_read_like_json():
    pytest.importorskip("yaml")
    assert rules(b"x: {_target_: os.system}", "configs/train.yaml") == {"target"}
    assert rules(b"x: !!python/object/apply:os.system ['id']", "a.yml") == {"unreadable"}
    assert rules(b"a: {b: '$eval(1)'}", "a.yml") == {"expression"}
    assert not rules(b"a: [1, two, true, null]\nb: {c: '@a'}", "a.yml")


def test_an_alias_of_yaml_is_written_out():
    """A small file could mean a large one, or a value in two places."""
    pytest.importorskip("yaml")
    bomb = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 30))
    for text in (bomb, "a: &a [*a]", "a: &a {b: 1}\nc: *a"):
        assert rules(text.encode(), "a.yml") == {"unreadable"}


def test_texts_that_refer_to_each_other_end():
    assert not rules(json.dumps({"a": "$@b + 'x'", "b": "$@a + 'y'", "c": "@d", "d": "@c", "e": "$@c + 'z'"}).encode())
    chain = {f"a{i}": "$" + " + ".join([f"@a{i + 1}"] * 30) for i in range(12)} | {"a12": "x"}
    assert rules(json.dumps(chain).encode()) == {"expression"}
    dots = {"a": "$'.' + @b", "b": "$'.' + @c", "c": "/etc"}
    assert "path" in rules(json.dumps(dots).encode())


def test_metadata_may_name_addresses_but_no_code():
    content = b'{"references": ["https://example.org"], "schema": "https://example.org", "x": "$eval(1)"}'
    assert rules(content, "configs/metadata.json") == {"expression"}

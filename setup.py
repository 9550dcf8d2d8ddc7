"""The packages of the wheel; all else stands in pyproject.toml.

`tools` is `medbundles_tools` there, because nobody wants a top-level package named `tools` among what they installed.
"""

from setuptools import find_packages, setup

tools = [name for name in find_packages(".") if name.split(".")[0] == "tools"]
setup(
    packages=find_packages("shared") + [f"medbundles_{name}" for name in tools],
    package_dir={"": "shared", "medbundles_tools": "tools"},
)

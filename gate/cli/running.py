"""Options of how models are run."""

from __future__ import annotations

import re
from typing import Any

import click

from gate.cli.options import together

MANAGERS = ("local", "uv", "virtualenv")


class Device(click.ParamType):
    """A device of PyTorch's."""

    name = "device"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """As it is; a usage error for what is none."""
        if not re.fullmatch(r"auto|cpu|mps|(cuda|xpu)(:\d+)?", str(value)):
            self.fail(f"{value!r} is no device: auto, cpu, cuda, cuda:1, mps, xpu", param, ctx)
        return str(value)


class Size(click.ParamType):
    """A number of bytes, as in 500m or 4g."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Bytes; a usage error for anything else."""
        from gate.engines.limits import size_in_bytes

        return value if isinstance(value, int) else size_in_bytes(str(value))


engine = together(
    click.option(
        "--engine",
        type=click.Choice(["local", "spark"]),
        default="local",
        show_default=True,
        help="Who runs the models: processes here, or a Spark cluster, for data that outgrows a machine.",
    ),
    click.option("--spark-master", metavar="URL", help="With --engine spark: as in local[2] [default: Spark's own]."),
)

models = together(
    click.option(
        "--timeout",
        type=click.FloatRange(0, min_open=True),
        default=600.0,
        show_default=True,
        help="Seconds that a model may take to load, and for each batch.",
    ),
    click.option(
        "--total-timeout",
        type=click.FloatRange(0, min_open=True),
        help="Seconds that a model may take in all; with --engine spark, that all of them may take.",
    ),
    click.option("--memory", type=Size(), help="What each model's process may take, as in 4g [default: no limit]."),
    click.option("--network", is_flag=True, help="Let the models reach the network, such as a service that they call."),
    click.option(
        "--env-manager",
        type=click.Choice(MANAGERS),
        default="local",
        show_default=True,
        help="Where models run: in the gate's environment, or each in one made of its own requirements.",
    ),
    click.option("--accept-clash", is_flag=True, help="Run a model though it asks for other versions than are here."),
    click.option(
        "--allow-builds", is_flag=True, help="With --env-manager: let packages without a wheel run their build code."
    ),
    click.option(
        "--device",
        type=Device(),
        metavar="NAME",
        default="auto",
        show_default=True,
        help="For PyTorch models: auto, cpu, cuda, cuda:1.",
    ),
    click.option(
        "--dtype",
        type=click.Choice(["float32", "bf16"]),
        default="float32",
        show_default=True,
        help="For PyTorch models; bf16 is faster on a GPU and changes answers.",
    ),
    click.option("--compile", is_flag=True, help="For PyTorch models: torch.compile, which may change answers."),
    click.option("--no-cache", is_flag=True, help="Ask models again whose answers to these rows are known."),
    click.option("--in-process", is_flag=True, help="TRUST the models: run them in the gate's own process, to debug."),
)

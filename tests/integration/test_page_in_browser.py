"""The page in a real Chromium: offline, on phones and desks, in both colours, without scripts, by keyboard, by axe.

The pages are real: the demo's refused update, ImageNet's validation set and UCI Adult, with real models' answers.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import gate
from gate.decisions.record import EarlierRow
from gate.report.html import page as writer
from gate.stories.decide import Judgement

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"
CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
PAGES = ("demo", "imagenet", "adult")
PHONE, DESK = 390, 1280

pytestmark = pytest.mark.skipif(not Path(CHROMIUM).is_file(), reason=f"there is no Chromium at {CHROMIUM}")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Debian's Chromium, driven by Playwright, which brings no browser of its own."""
    driver = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    with driver.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Writes a page when it is first asked for; skips where its data is absent."""
    folder = tmp_path_factory.mktemp("pages")

    def written(name: str) -> Path:
        file = folder / f"{name}.html"
        if not file.exists():
            judged = {"demo": _demo, "imagenet": _imagenet, "adult": _adult}[name](folder)
            (content,) = writer.write(judged.decision, judged.samples).values()
            file.write_bytes(content)
            for part, text in writer.write_folder(judged.decision, judged.samples).items():
                (folder / name).mkdir(exist_ok=True)
                (folder / name / part).write_bytes(text)
        return file

    return written


def _demo(folder: Path) -> Judgement:
    import torch

    from gate.demo.images import split_digits
    from gate.demo.training import train_candidate, train_incumbent

    split = split_digits(0)
    models = train_incumbent(split.incumbent, 0), train_candidate(split.candidate, 0)
    with torch.no_grad():
        old, new = (model(torch.from_numpy(split.held_out.pixels)).numpy() for model in models)
    table = {
        "id": [f"digit-{row:04d}" for row in split.held_out.rows],
        "image": split.held_out.pixels.reshape(-1, 64),
        "label": split.held_out.labels,
        "old": old,
        "new": new,
    }
    return gate.compare(table, policy=ROOT / "gate/demo/policy.yaml", incumbent="old", candidate="new")


def _imagenet(folder: Path) -> Judgement:
    file = DATA / "imagenet-val-predictions" / "predictions.parquet"
    if not file.is_file():
        pytest.skip(f"ImageNet's predictions are not there: no file {file}")
    (folder / "imagenet.yaml").write_text(
        "version: 1\nname: imagenet\nholdout: {id: image_id, label: label}\nrules:\n"
        "  - {id: few-negative-flips, rate: nfr, at_most: 4%}\n"
        "  - {id: no-class-breaks, rate: nfr, by: class, at_most: 20%, decide_on: harm}\n"
    )
    return gate.compare(file, policy=folder / "imagenet.yaml", incumbent="resnet18", candidate="densenet161")


def _adult(folder: Path) -> Judgement:
    if not (DATA / "adult").is_dir():
        pytest.skip(f"UCI Adult is not there: no folder {DATA / 'adult'}")
    code = """
import sys
from pathlib import Path
from prepare import CATEGORIES, NUMBERS, read_split
from train import boosted, logistic
data, out = map(Path, sys.argv[1:])
people, test = (read_split(data / f"adult-{part}.csv.gz") for part in ("train", "test"))
test.insert(0, "person", range(1, len(test) + 1))
for name, model in (("old", logistic()), ("new", boosted())):
    test[name] = model.fit(people[CATEGORIES + NUMBERS], people["income"]).predict(test[CATEGORIES + NUMBERS])
test.to_parquet(out, index=False)
"""
    answers = folder / "adult.parquet"
    command = [sys.executable, "-c", code, str(DATA / "adult"), str(answers)]
    subprocess.run(command, cwd=ROOT / "examples" / "adult", check=True, capture_output=True)
    return gate.compare(answers, policy=ROOT / "examples/adult/policy.yaml", incumbent="old", candidate="new")


@contextmanager
def opened(chromium: Any, file: Path, **how: Any) -> Iterator[Any]:
    """The page from the disk, in a browser without a network; it may load nothing and complain of nothing."""
    context = chromium.new_context(offline=True, **how)
    page = context.new_page()
    complaints: list[str] = []
    loaded: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: loaded.append(request.url))
    page.goto(file.as_uri())
    yield page
    context.close()
    assert complaints == []
    assert [url for url in loaded if not url.startswith(("file:", "data:"))] == []


@pytest.mark.parametrize("width", [PHONE, DESK])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_it_opens_offline_and_scrolls_only_downwards(
    name: str, scheme: str, width: int, chromium: Any, pages: Callable[[str], Path]
) -> None:
    with opened(chromium, pages(name), viewport={"width": width, "height": 900}, color_scheme=scheme) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.locator("h1 .badge").inner_text() in ("REFUSED", "INCONCLUSIVE")
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (paper == "rgb(255, 255, 255)") == (scheme == "light")


@pytest.mark.parametrize("name", PAGES)
def test_with_scripts_off_all_of_it_is_there_but_the_search(
    name: str, chromium: Any, pages: Callable[[str], Path]
) -> None:
    with opened(chromium, pages(name), java_script_enabled=False) as page:
        bare = page.locator("main").inner_text()
        assert not page.locator("[data-finds]").first.is_visible()
    with opened(chromium, pages(name)) as page:
        assert page.locator("main").inner_text().replace("Find:", "").split() == bare.split()


@pytest.mark.parametrize(
    ("name", "scheme"),
    [(name, scheme) for name in PAGES for scheme in ("light", "dark")],
)
def test_axe_finds_nothing_serious(name: str, scheme: str, chromium: Any, pages: Callable[[str], Path]) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed").Axe()
    with opened(chromium, pages(name), color_scheme=scheme) as page:
        found = axe.run(page).response["violations"]
    worse = [one for one in found if one["impact"] in ("serious", "critical")]
    assert [(one["id"], one["nodes"][0]["html"][:200]) for one in worse] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_trend_of_twenty_versions_fits_a_phone_and_axe_finds_nothing(
    scheme: str, chromium: Any, tmp_path: Path
) -> None:
    from report_cases import RULES, pets

    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed").Axe()
    (tmp_path / "policy.yaml").write_text(
        "version: 1\nname: x\nholdout: {id: id, label: y, slices: {site: {column: site}}}\nrules:\n" + RULES
    )
    judged = gate.compare(pets(60, 90), policy=tmp_path / "policy.yaml", incumbent="old", candidate="new")
    row = EarlierRow(
        1, "2026-01-01T00:00:00Z", "decision", 2, 1, False, "0" * 64, "r", "f" * 64, 0.01, 0.005, 0.02, 0.1, 0.09, 0.11
    )
    history = tuple(replace(row, number=at, version=at + 1, previous=at) for at in range(1, 21))
    (content,) = writer.write(replace(judged.decision, history=history), judged.samples).values()
    (tmp_path / "page.html").write_bytes(content)
    with opened(
        chromium, tmp_path / "page.html", viewport={"width": PHONE, "height": 900}, color_scheme=scheme
    ) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE
        assert page.locator("svg.trend circle.dot").count() == 2 * 21
        found = axe.run(page).response["violations"]
    assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []


def test_the_keyboard_reaches_the_search_and_it_finds_one_of_1000_classes(
    chromium: Any, pages: Callable[[str], Path]
) -> None:
    with opened(chromium, pages("imagenet")) as page:
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.tagName") == "INPUT":
                break
        page.keyboard.type("413")
        rows = page.locator("#cells-1 tbody tr:visible")
        assert rows.count() == 1
        assert rows.first.inner_text().split()[0] == "413"
        assert page.locator("[data-finds=cells-1] output").inner_text() == "1 of 1000"
        page.keyboard.press("Control+A")
        page.keyboard.press("Delete")
        assert rows.count() == 1000


def test_the_first_tab_skips_to_the_policy(chromium: Any, pages: Callable[[str], Path]) -> None:
    with opened(chromium, pages("demo")) as page:
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        assert page.evaluate("location.hash") == "#policy"


def test_every_link_goes_to_a_part_of_the_page(chromium: Any, pages: Callable[[str], Path]) -> None:
    with opened(chromium, pages("demo")) as page:
        broken = (
            "[...document.links].filter(a => !document.querySelector(a.getAttribute('href'))).map(a => a.outerHTML)"
        )
        assert page.evaluate(broken) == []


def test_on_paper_the_search_is_not_there_and_nothing_is_cut_off(chromium: Any, pages: Callable[[str], Path]) -> None:
    with opened(chromium, pages("imagenet"), viewport={"width": 720, "height": 1000}) as page:
        page.emulate_media(media="print", color_scheme="dark")
        assert not page.locator("[data-finds]").first.is_visible()
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert page.evaluate("getComputedStyle(document.querySelector('.wide')).overflowX") == "visible"


def test_the_folder_opens_under_a_strict_content_policy(chromium: Any, pages: Callable[[str], Path]) -> None:
    """As Jenkins serves it by default: no script, no style but from the server, nothing inline."""
    folder = pages("demo").with_suffix("")
    policy = "sandbox; default-src 'none'; img-src 'self'; style-src 'self';"
    context = chromium.new_context()
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))

    def serve(route: Any) -> None:
        file = folder / (route.request.url.rpartition("/")[2] or "index.html")
        kind = {".html": "text/html; charset=utf-8", ".css": "text/css", ".js": "text/javascript"}.get(file.suffix)
        headers = {"Content-Type": kind or "image/png", "Content-Security-Policy": policy}
        route.fulfill(body=file.read_bytes(), headers=headers)

    page.route("**/*", serve)
    page.goto("http://jenkins.example/")
    assert page.locator("h1 .badge").inner_text() == "REFUSED"
    assert page.evaluate("1") == 1
    assert page.locator(".badge").evaluate("e => getComputedStyle(e).borderTopWidth") == "2px"
    context.close()
    assert [text for text in complaints if "style" in text or "image" in text] == []


@pytest.mark.parametrize("place", ["file", "strict"])
def test_every_flipped_digit_is_seen(place: str, chromium: Any, pages: Callable[[str], Path]) -> None:
    """As pictures inside the one page, and as files beside the page of a folder."""
    file = pages("demo") if place == "file" else pages("demo").with_suffix("") / "index.html"
    with opened(chromium, file) as page:
        broken = "[...document.images].filter(i => !(i.complete && i.naturalWidth === 8)).map(i => i.outerHTML)"
        assert page.evaluate(broken) == []
        assert page.locator(".flipped img").count() == page.locator(".flipped li").count() > 20
        assert page.locator(".flipped img").first.get_attribute("alt").startswith("image of digit-")


def test_the_keyboard_unfolds_the_columns_of_a_row(chromium: Any, tmp_path: Path) -> None:
    rows = {
        "y": ["a"] * 40,
        "old": ["a"] * 40,
        "new": ["b"] * 20 + ["a"] * 20,
        "note": ["what the customer wrote"] * 40,
    }
    (tmp_path / "policy.yaml").write_text(
        "version: 1\nname: x\nholdout: {label: y}\nrules: [{id: few, rate: nfr, at_most: 1%}]\n"
    )
    judged = gate.compare(rows, policy=tmp_path / "policy.yaml", incumbent="old", candidate="new")
    (content,) = writer.write(judged.decision, judged.samples).values()
    (tmp_path / "page.html").write_bytes(content)
    with opened(chromium, tmp_path / "page.html") as page:
        last = page.locator(".flipped li").last
        assert not last.get_by_text("what the customer wrote").is_visible()
        last.locator("summary").focus()
        page.keyboard.press("Enter")
        assert last.get_by_text("what the customer wrote").is_visible()


def test_inside_mlflows_own_ui_it_renders_in_its_sandboxed_frame(
    chromium: Any, pages: Callable[[str], Path], mlflow_server: str
) -> None:
    import mlflow

    client = mlflow.MlflowClient(mlflow_server)
    experiment = client.create_experiment("pages")
    run = client.create_run(experiment).info.run_id
    client.log_artifact(run, str(pages("imagenet" if (DATA / "imagenet-val-predictions").is_dir() else "demo")))
    (artifact,) = client.list_artifacts(run)
    context = chromium.new_context(viewport={"width": 1440, "height": 1000})
    page = context.new_page()
    page.goto(f"{mlflow_server}/#/experiments/{experiment}/runs/{run}/artifacts/{artifact.path}")
    page.wait_for_selector("iframe", timeout=120_000)
    shown = page.frame_locator("iframe[sandbox]")
    shown.locator("h1 .badge").wait_for(timeout=60_000)

    assert "allow-same-origin" not in (page.locator("iframe").first.get_attribute("sandbox") or "allow-same-origin")
    assert shown.locator("h1 .badge").inner_text() == "REFUSED"
    assert shown.locator("h1 .badge").evaluate("e => getComputedStyle(e).borderTopWidth") == "2px"
    context.close()


@pytest.mark.fault(
    35,
    given="the page of a class called `</script><img onerror=...>` is opened in a browser",
    then="has it shown as text, and nothing of it runs",
    exit_code=None,
)
def test_hostile_names_do_nothing_in_a_real_browser(chromium: Any, tmp_path: Path) -> None:
    from report_cases import HOSTILE, RULES, named

    (tmp_path / "policy.yaml").write_text(
        "version: 1\nname: x\nholdout: {id: id, label: y, slices: {site: {column: site}}}\nrules:\n" + RULES
    )
    judged = gate.compare(named(HOSTILE), policy=tmp_path / "policy.yaml", incumbent="old", candidate="new")
    (content,) = writer.write(judged.decision, judged.samples).values()
    (tmp_path / "page.html").write_bytes(content)
    dialogs: list[str] = []
    with opened(chromium, tmp_path / "page.html") as page:
        page.on("dialog", lambda dialog: dialogs.append(dialog.message))
        assert page.locator("body img:not(.thumb)").count() == 0
        assert page.locator("script").count() == 1
        assert "</script><img src=x onerror=alert(1)>" in page.locator("main").inner_text()
    assert dialogs == []

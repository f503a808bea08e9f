"""The gate as an evaluator of ``mlflow.models.evaluate``: the same verdict, on the run that MLflow evaluates in.

A thin adapter. It finds out what MLflow handed over and tells the story that fits: :func:`gate.check` for a model that
the registry knows, :func:`gate.compare` for two columns of predictions, and for other answers what these two stand on.
It judges nothing itself, and what cannot be judged raises: no metric stands without a verdict.

MLflow imports this module for every evaluation, whoever is asked, so it is light until the gate is.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from mlflow.models.evaluation.base import EvaluationArtifact, EvaluationResult, ModelEvaluator

from gate.errors import EvidenceError, UsageError, data_withheld

if TYPE_CHECKING:
    from gate.plugin.settings import Settings
    from gate.registry.registry import Registry
    from gate.stories.decide import Judgement


class RegressionGate(ModelEvaluator):
    """``evaluators="regression_gate"``; ``evaluator_config`` is read by :class:`gate.plugin.settings.Settings`.

    Example::

        result = mlflow.models.evaluate(
            "models:/fraud/7", holdout, targets="y", model_type="classifier", evaluators="regression_gate",
            evaluator_config={"incumbent": "models:/fraud@champion", "policy": "policies/fraud.yaml"},
        )
        mlflow.validate_evaluation_results(
            {"gate.allow": MetricThreshold(threshold=1, greater_is_better=True)}, result
        )
    """

    @classmethod
    def can_evaluate(cls, *, model_type: Any, evaluator_config: Any, **kwargs: Any) -> bool:
        """Yes to whoever names the gate, so that a mistake in the settings is an error and not silence.

        Where ``evaluators`` is left out MLflow asks everybody; then only if the settings are meant for the gate.
        """
        from gate.plugin.settings import is_meant

        # Nothing but the caller tells the two apart: this is the function in which MLflow asks everybody.
        asks_everybody = sys._getframe(1).f_code.co_name == "resolve_evaluators_and_configs"
        return is_meant(evaluator_config) if asks_everybody else True

    def evaluate(
        self,
        *,
        model_type: Any,
        dataset: Any,
        run_id: str,
        evaluator_config: Any,
        model: Any = None,
        extra_metrics: Any = None,
        custom_artifacts: Any = None,
        predictions: Any = None,
        **kwargs: Any,
    ) -> EvaluationResult:
        """Judge, log the evidence into the run ``run_id``, and return metrics (``gate.*``) and artifacts (``gate_*``).

        :class:`~gate.errors.UsageError` for the settings and the policy, :class:`~gate.errors.EvidenceError` for what
        is missing or cannot be trusted. A verdict that does not allow is no error: ``gate.allow`` is 0 then.
        """
        import mlflow

        from gate.plugin.settings import Settings
        from gate.registry.registry import Registry
        from gate.stories.log import add

        settings = Settings.read(evaluator_config)
        if model is not None and predictions is not None:
            raise UsageError(
                f"predictions={predictions!r} picks one of the model's answers, and the gate takes one answer a row",
                where="evaluate",
                hint="evaluate a model that returns that column alone",
            )
        registry = Registry.connect(settings.registry_uri or mlflow.get_registry_uri(), mlflow.get_tracking_uri())
        with data_withheld(settings.samples == 0):
            judged = _judged(settings, model, dataset, registry, run_id)
        logged = add(
            judged,
            registry,
            run_id,
            dataset_name=dataset.name,
            dataset_digest=dataset.digest,
            tag=settings.tag,
        )
        return _result(logged, run_id)


def _judged(settings: Settings, model: Any, dataset: Any, registry: Registry, run_id: str) -> Judgement:
    """The story that fits what was handed over."""
    frame, label = _rows(dataset, settings)
    if settings.incumbent_predictions is not None:
        return _of_two_columns(settings, model, dataset, frame, label)
    uri = _uri_of(model, settings, registry)
    if uri is not None:
        return _of_the_registry(settings, uri, frame, label, registry, _experiment_of(run_id))
    from gate.plugin.answered import answers_of, column_of, judge_answers

    if settings.candidate is not None:
        raise UsageError(
            "candidate: nothing shows that these answers are that model's",
            where="evaluator_config",
            hint=f"evaluate the model itself: mlflow.models.evaluate({settings.candidate!r}, ...)",
        )
    if model is not None:
        bare = frame.drop(columns=[label] if label in frame else [])
        answers = answers_of(model, bare, sets=settings.policy.task.kind == "multilabel")
        called, not_shown = "the model given to mlflow.models.evaluate", []
    else:
        name = _predictions(dataset)
        answers, called, not_shown = column_of(frame, name), f"(in memory)#{name}", [name]
    return judge_answers(
        settings,
        frame,
        label=label,
        candidate=answers,
        called=called,
        not_shown=not_shown,
        registry=registry,
        experiment=_experiment_of(run_id),
    )


def _of_the_registry(
    settings: Settings, uri: str, frame: Any, label: str | None, registry: Registry, experiment: str
) -> Judgement:
    import mlflow

    from gate.stories.check import check

    return check(
        candidate=uri,
        incumbent=str(settings.incumbent),
        data=frame,
        policy=settings.policy,
        label=label,
        id=settings.id,
        registry_uri=settings.registry_uri or mlflow.get_registry_uri(),
        tracking_uri=mlflow.get_tracking_uri(),
        log_run=False,
        experiment=experiment,
        count_uses=True,
        seed=settings.seed,
        samples=settings.samples,
        as_of=settings.as_of,
        rows_per_batch=settings.rows_per_batch,
        timeout=settings.timeout,
        in_process=settings.in_process,
    )


def _of_two_columns(settings: Settings, model: Any, dataset: Any, frame: Any, label: str | None) -> Judgement:
    from gate.stories.compare import compare

    if model is not None or settings.candidate is not None:
        raise UsageError(
            "incumbent_predictions goes with predictions=, and without a model",
            where="evaluator_config",
            hint='evaluate the predictions of both, or name the model: "incumbent": "models:/NAME@champion"',
        )
    return compare(
        frame,
        policy=settings.policy,
        label=label,
        id=settings.id,
        incumbent=settings.incumbent_predictions,
        candidate=_predictions(dataset),
        seed=settings.seed,
        samples=settings.samples,
        as_of=settings.as_of,
        rows_per_batch=settings.rows_per_batch,
    )


# what MLflow hands over


def _rows(dataset: Any, settings: Settings) -> tuple[Any, str | None]:
    """The data as one DataFrame with labels and predictions, and what its label column is called."""
    import pandas as pd

    features = dataset.features_data
    if isinstance(features, pd.DataFrame):
        frame = features.reset_index(drop=True)
    else:
        frame = pd.DataFrame(features, columns=list(dataset.feature_names))
    label = None
    if dataset.labels_data is not None:
        label = dataset.targets_name or settings.policy.holdout.label or "target"
        frame[label] = dataset.labels_data
    elif settings.policy.task.needs_label:
        raise UsageError(
            "no right answers to hold the model's against",
            where="evaluate",
            hint='name the column of the labels: targets="y"',
        )
    if dataset.predictions_data is not None:
        frame[dataset.predictions_name] = dataset.predictions_data
    return frame, label


def _predictions(dataset: Any) -> str:
    if dataset.predictions_data is None:
        raise UsageError(
            "neither a model nor predictions", where="evaluate", hint='name the column: predictions="answer"'
        )
    return str(dataset.predictions_name)


def _uri_of(model: Any, settings: Settings, registry: Registry) -> str | None:
    """The URI of the very model that was handed over; None where the registry does not hold it as it runs here."""
    from mlflow.pyfunc import PyFuncModel

    from gate.registry.refs import parse_ref

    model_id = model.model_id if type(model) is PyFuncModel else None  # one that is served runs somewhere else
    if model_id is None or _configured_anew(model, model_id):
        return None
    if settings.candidate is not None:
        found = registry.resolve(settings.candidate, model=None, role="candidate")
        if found.model_id != model_id:
            raise EvidenceError(
                f"{found.uri} is {found.model_id}, and the model that is evaluated is {model_id}",
                where="candidate",
                hint="name the version that is evaluated, or leave candidate out",
            )
        return found.uri
    name = parse_ref(str(settings.incumbent), model=None, role="incumbent").name
    versions = _versions_of(model_id, name, settings, registry) if name else []
    if len(versions) > 1:
        raise UsageError(
            f"the model that is evaluated is registered as versions {', '.join(map(str, versions))} of {name}",
            where="evaluator_config",
            hint=f'say which one the verdict is about: "candidate": "models:/{name}/{versions[-1]}"',
        )
    return f"models:/{name}/{versions[0]}" if versions else f"models:/{model_id}"


def _configured_anew(model: Any, model_id: str) -> bool:
    """Whether it was loaded with another ``model_config`` than its files have: its files answer otherwise then."""
    import mlflow

    if not model.model_config:
        return False
    logged = mlflow.models.Model.load(f"models:/{model_id}")
    return bool(logged.flavors["python_function"].get("config") != model.model_config)


def _versions_of(model_id: str, name: str, settings: Settings, registry: Registry) -> list[int]:
    """The versions of a registered model that are this logged model, oldest first."""
    import mlflow

    client = mlflow.MlflowClient(mlflow.get_tracking_uri(), settings.registry_uri or mlflow.get_registry_uri())
    quote = '"' if "'" in name else "'"
    found, token = [], None
    while True:
        page = client.search_model_versions(f"name={quote}{name}{quote}", page_token=token)
        for one in page:
            source = str(one.source or "")
            its_id: str | None = one.model_id or source.removeprefix("models:/")
            if source.startswith("models:/") and "/" in str(its_id) and one.status == "READY":
                # a copy knows its model only by the version that it was copied from
                its_id = registry.resolve(f"models:/{name}/{one.version}", model=None, role="candidate").model_id
            if its_id == model_id:
                found.append(int(one.version))
        token = page.token
        if not token:
            return sorted(found)


def _experiment_of(run_id: str) -> str:
    import mlflow

    client = mlflow.MlflowClient()
    return str(client.get_experiment(client.get_run(run_id).info.experiment_id).name)


# what MLflow is handed back


def _result(judged: Judgement, run_id: str) -> EvaluationResult:
    from mlflow.models.evaluation.artifacts import JsonEvaluationArtifact, TextEvaluationArtifact

    from gate.registry.runs import logged_metrics
    from gate.stories.log import FOLDER, metrics, tables

    def at(path: str) -> str:
        return f"runs:/{run_id}/{path}"

    artifacts: dict[str, EvaluationArtifact] = {
        "gate_decision": JsonEvaluationArtifact(at(f"{FOLDER}/decision.json"), json.loads(judged.report("json"))),
        "gate_report": TextEvaluationArtifact(at(f"{FOLDER}/report.txt"), judged.report("text")),
        **{
            path.removesuffix(".json"): JsonEvaluationArtifact(at(path), json.loads(content))
            for path, content in tables(judged).items()
        },
    }
    return EvaluationResult(metrics=logged_metrics(metrics(judged.decision)), artifacts=artifacts, run_id=run_id)

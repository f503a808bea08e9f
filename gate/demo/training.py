"""Three classifiers of handwritten digits, trained for real: an incumbent, an update of it, and a gentler update.

The incumbent is a small fully connected network. The candidate is a convolutional network, trained on other images: as
a rule it is right more often, and still wrong on images that the incumbent had right. The third has the architecture
and the images of the candidate, but is trained against the incumbent by focal distillation (Yan et al. 2021,
Positive-Congruent Training, section 4), so that it keeps what worked.

Nothing here depends on the gate: copy it. One seed gives the same models each time on one CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from gate.demo.images import Images

BATCH = 32
CLASSES = 10

Loss = Callable[[Tensor, Tensor], Tensor]
"""(logits of a batch, the batch's positions in the training set) -> the mean loss of the batch."""


def train_incumbent(images: Images, seed: int = 0, *, epochs: int = 11) -> nn.Module:
    """Train the model in use: a fully connected network with 16 hidden units, (n, 1, 8, 8) images to (n, 10) logits."""
    labels = torch.from_numpy(images.labels)
    with _reproducible(seed):
        network = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, CLASSES))
        return _fit(
            network,
            images,
            lambda logits, batch: functional.cross_entropy(logits, labels[batch]),
            epochs=epochs,
            learning_rate=0.01,
        )


def train_candidate(images: Images, seed: int = 0, *, epochs: int = 10) -> nn.Module:
    """Train the update as one would without a gate: a convolutional network, by cross entropy alone."""
    labels = torch.from_numpy(images.labels)
    with _reproducible(seed):
        return _fit(
            _convolutional(),
            images,
            lambda logits, batch: functional.cross_entropy(logits, labels[batch]),
            epochs=epochs,
            learning_rate=0.004,
        )


def train_distilled(
    images: Images, incumbent: nn.Module, seed: int = 0, *, epochs: int = 100, alpha: float = 0.1, beta: float = 0.5
) -> nn.Module:
    """Train the update so that it keeps what worked: cross entropy plus focal distillation from the incumbent.

    The distance of both models' logits (half its square) is added to the loss, with the weight ``alpha + beta`` where
    the incumbent is right and ``alpha`` where it is wrong: stay close to it, above all where it can be trusted.
    ``beta`` is five times ``alpha``, as in the paper; both are a tenth of the paper's, since copying a weak incumbent
    too closely would copy its errors. Copying a model is a harder task than naming ten digits: it takes more epochs.
    """
    labels = torch.from_numpy(images.labels)
    with torch.no_grad():
        incumbent_logits = incumbent(torch.from_numpy(images.pixels))
    incumbent_right = incumbent_logits.argmax(dim=1) == labels
    focus = alpha + beta * incumbent_right

    def focal_distillation(logits: Tensor, batch: Tensor) -> Tensor:
        distance = 0.5 * (logits - incumbent_logits[batch]).square().sum(dim=1)
        mistakes = functional.cross_entropy(logits, labels[batch])
        return mistakes + (focus[batch] * distance).mean()

    with _reproducible(seed):
        return _fit(_convolutional(), images, focal_distillation, epochs=epochs, learning_rate=0.004)


def predict(model: nn.Module, images: Images) -> Tensor:
    """The class that the model gives each image, (n,) int64."""
    with torch.no_grad():
        logits: Tensor = model(torch.from_numpy(images.pixels))
    return logits.argmax(dim=1)


def _convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, kernel_size=3, stride=2, padding=1),  # 8 x 8 pixels to 4 x 4
        nn.ReLU(),
        nn.Conv2d(16, 32, kernel_size=3),  # to 2 x 2
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(128, CLASSES),
    )


def _fit(network: nn.Module, images: Images, loss: Loss, *, epochs: int, learning_rate: float) -> nn.Module:
    pixels = torch.from_numpy(images.pixels)
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate)
    for _ in range(epochs):
        for batch in torch.split(torch.randperm(len(images)), BATCH):
            optimizer.zero_grad()
            loss(network(pixels[batch]), batch).backward()
            optimizer.step()
    return network.eval()


@contextmanager
def _reproducible(seed: int) -> Iterator[None]:
    """Draw from ``seed``, on one thread (sums of floats depend on their order); then leave torch as it was found."""
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)

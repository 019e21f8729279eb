"""What the fifth notebook's faults cost, one at a time, measured on EfficientNet-Lite0's features.

The notebook scaled pictures by 1/255 where its weights expect another range, read its training
pictures class by class, and put two layers of 1,024 on the flattened feature map. Each variant here
has one of these; all have the same seeds, splits, labels and, but for what is changed, settings.

    python examples/cats_or_dogs_faults.py [--seeds 10] [--labels 200] [--image-size 96]
"""

import argparse
from typing import Any

import headstart

BASE: dict[str, Any] = {
    "data": {"name": "cifar-10"},
    "split": {"valid": 500},
    "task": {"classes": ["cat", "dog"]},
    "source": {"pretrained": "tf_efficientnet_lite0"},
    "training": {"optimizer": "adam", "lr": 0.001, "epochs": 30},
    "strategy": {"frozen": {}},
    "study": {"baseline": "frozen"},
}
VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "nothing wrong": {},
    "1/255 instead of the weights' own scaling": {"data": {"scaling": "unit"}},
    "training pictures class by class": {"training": {"order": "by_class"}},
    "the flattened feature map": {"source": {"features": "flattened"}},
    "two layers of 1,024 on the flattened map": {
        "source": {"features": "flattened"},
        "head": {"hidden": [1024, 1024], "dropout": 0.5},
    },
    "all of it": {
        "data": {"scaling": "unit"},
        "training": {"order": "by_class"},
        "source": {"features": "flattened"},
        "head": {"hidden": [1024, 1024], "dropout": 0.5},
    },
}


def main() -> None:
    """Train and test every variant, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--labels", type=int, default=200)
    parser.add_argument("--image-size", type=int, default=96)
    options = parser.parse_args()
    print(f"{'fault':44} {'accuracy':>14} {'against none':>22} {'trained':>12}")
    right = None
    for number, (name, changes) in enumerate(VARIANTS.items()):
        values = {key: {**BASE.get(key, {}), **changes.get(key, {})} for key in {*BASE, *changes}}
        values["data"]["image_size"] = options.image_size
        values["study"] |= {"seeds": options.seeds, "labels": options.labels}
        study = headstart.study_from(values)
        trials = headstart.compare(study, f"studies/cats_or_dogs_faults/{number}").trials
        accuracy = 100 * trials.set_index("seed")["test_accuracy"].astype(float)
        right = accuracy if right is None else right
        lost = accuracy - right
        shown = f"{accuracy.mean():.1f} ± {accuracy.std():.1f}"
        spread = f"{lost.mean():+.1f} ± {lost.std():.1f}" if number else "–"
        trained = int(trials["trainable_parameters"].iloc[0])
        print(f"{name:44} {shown:>14} {spread:>22} {trained:>12,}", flush=True)


if __name__ == "__main__":
    main()

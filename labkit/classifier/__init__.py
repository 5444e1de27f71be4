"""Attribute classifiers: nets, augmentation, training, and reading attributes of generated faces."""

from labkit.classifier.attribute_reader import AttributeReader
from labkit.classifier.augment import StrongAugmentation
from labkit.classifier.nets import EfficientNetLite0, InceptionV3, ResNet18
from labkit.classifier.training import batches, held_out, labelled, predict_logits, trunk_features, update

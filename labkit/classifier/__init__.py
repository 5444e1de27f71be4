"""Attribute classifiers: nets, augmentation, training, and reading attributes of generated faces."""

from labkit.classifier.attribute_reader import AttributeReader
from labkit.classifier.augment import StrongAugmentation
from labkit.classifier.nets import inception_classifier, lite0_classifier, resnet18_classifier
from labkit.classifier.training import batches, held_out, labelled, predict_logits, trunk_features, update

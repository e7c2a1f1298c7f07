"""The mini-batches of an epoch, in the order and with the augmentations of a stream."""

import keras

from unet_segnet.training.translations import augment


class AugmentedBatches(keras.utils.PyDataset):
    """The mini-batches of one epoch: shuffled, augmented, the last batch left out if it is not full.

    Arguments:
        images: (num_slices, height, width).
        labels: (num_slices, height, width) uint8 class indices.
        batch_size: slices in a batch, at most as many as the stream draws.
        stream: see `unet_segnet.training.streams`.
        augment: of images, labels and the stream's random numbers; the first study's by default.
    """

    def __init__(self, images, labels, batch_size, stream, augment=augment):
        # Not Keras' default of one worker: under TensorFlow that leaves the prefetching to tf.data's autotuning, whose
        # thread sleeps for 10 ms times a power of two and holds up the end of an epoch until it wakes (45 s became 82).
        # The other backends have no such thread, and with two workers JAX' first epoch lacks a batch.
        super().__init__(workers=2 if keras.config.backend() == "tensorflow" else 1)
        self.images, self.labels, self.batch_size, self.stream = images, labels, batch_size, stream
        self.augment = augment
        self.set_epoch(0)

    def set_epoch(self, epoch):
        """Take the order and the augmentations of epoch 0, 1, ..."""
        self.order, self.numbers = self.stream.epoch(epoch, len(self.images), self.batch_size)

    def __len__(self):
        return len(self.order) // self.batch_size

    def __getitem__(self, index):
        batch = slice(index * self.batch_size, (index + 1) * self.batch_size)
        chosen = self.order[batch]
        images, labels = self.augment(self.images[chosen], self.labels[chosen], self.numbers[batch])
        return images[..., None], labels

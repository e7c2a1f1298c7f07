"""How networks are trained: a recipe and a loop for each study's kind of training, losses, optimisers, augmentation."""

// Models are made of layers and tensors: one import gives all.
@_exported public import MGLU

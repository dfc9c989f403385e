// Models are made of layers and tensors, and a chat's text comes of templates: one import gives all.
@_exported public import MGLU
@_exported public import MGLUTemplates

/// The gradients of an arena of parameters: the same layout, other memory, float32 always.
///
///     gradients[layer.weight]     // the gradient of that weight
public struct Gradients: Sendable {
  /// Where the gradients lie.
  public let arena: Arena

  /// Gradients in `arena`, laid out as the parameters are.
  public init(arena: Arena) { self.arena = arena }

  /// The gradient of `parameter`.
  public subscript(parameter: Tensor) -> Tensor { parameter.counterpart(in: arena, as: .float32) }
}

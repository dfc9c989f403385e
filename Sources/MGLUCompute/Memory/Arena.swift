/// One owned allocation that any number of tensors view.
///
/// Parameters, gradients, optimiser moments and workspace are one arena each, so that whatever
/// treats all of them alike (AdamW, the gradient norm, zeroing) is a single pass.
///
/// An arena may be read from several threads at once; whoever writes through a tensor must be the
/// only one using the elements it views. That is what `@unchecked Sendable` promises here.
public final class Arena: @unchecked Sendable {
  private let buffer: HostBuffer

  /// Allocates `byteCount` zeroed bytes.
  init(byteCount: Int) { buffer = HostBuffer(byteCount: byteCount) }

  /// The size in bytes.
  public var byteCount: Int { buffer.byteCount }

  package var base: UnsafeMutableRawPointer { buffer.base }
}

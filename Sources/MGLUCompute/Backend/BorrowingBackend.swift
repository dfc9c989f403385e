/// A backend for callers that keep memory and streams of their own, as other programs' tensors do:
/// nothing is copied, and what is packed lies where the caller wants it.
///
/// Where operations are asynchronous, the caller keeps memory and stream until they are done.
package protocol BorrowingBackend: InferenceBackend, TrainingBackend {
  /// A tensor over elements at an address of this backend's device.
  func borrow(_ address: UInt, _ shape: [Int], _ type: DataType) -> Tensor

  /// Bytes of packed weights `[rows, columns]`.
  func packedSizes(
    rows: Int, columns: Int, gating: Gating, as type: WeightType
  ) -> PackedRegions
  /// Packs matrices and bits of borrowed memory into memory at `addresses`; without matrices the words
  /// of masks alone, where they lie apart. A GPU packs integers of integers alone.
  func pack(
    _ planes: [StoredMatrix], masks: Tensor?, rows: Int, columns: Int, gating: Gating,
    as type: WeightType, at addresses: PackedRegions)
  /// The packed weights at `addresses`.
  func packedWeights(
    rows: Int, columns: Int, gating: Gating, activation: Activation, as type: WeightType,
    at addresses: PackedRegions
  ) -> PackedWeights

  /// Bytes that a pass over such weights with `n` rows of x, the last of them of prompts, needs beside its
  /// tensors.
  func workspaceSize(
    rows: Int, columns: Int, n: Int, promptRows: Int, gating: Gating, as type: WeightType,
    precision: InputPrecision
  ) -> Int
  /// Calls `body`, whose operations are enqueued on the stream of that handle in plain order and use
  /// `workspace`, or, to prepare, are compiled and not enqueued.
  ///
  /// - Throws: what failed in it; later calls are not affected.
  func perform(_ call: BorrowedCall, _ body: () -> Void) throws(BackendError)
}

/// The parts of packed weights: their sizes in bytes, or their addresses; 0 where there is none.
package struct PackedRegions: Equatable {
  /// Matrices, with the bits of masks where these do not lie apart.
  package var weights: UInt
  /// Scales of integers.
  package var scales: UInt
  /// Words of masks.
  package var words: UInt

  /// Regions.
  package init(weights: UInt = 0, scales: UInt = 0, words: UInt = 0) {
    (self.weights, self.scales, self.words) = (weights, scales, words)
  }
}

/// Where and how operations on borrowed memory are enqueued.
package struct BorrowedCall {
  /// The stream's handle; 0 is the default stream.
  package var stream: UInt = 0
  /// Where memory of ``BorrowingBackend/workspaceSize(rows:columns:n:promptRows:gating:as:precision:)`` lies.
  package var workspace: UInt = 0
  /// Its size in bytes.
  package var workspaceByteCount = 0
  /// Whether kernels may start before those enqueued earlier are done and read weights meanwhile.
  package var startsEarly = false
  /// Whether kernels are only compiled and loaded.
  package var isPreparing = false

  /// A call on the default stream.
  package init() {}
}

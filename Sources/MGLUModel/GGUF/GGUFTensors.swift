/// The tensors of a GGUF file under Hugging Face's names and in forms that this package computes with.
///
/// F32, F16 and BF16 stay in the mapped file. Groups of 32 integers with an FP16 scale (Q8_0, Q4_0,
/// Q5_0) are brought into the order of `WeightType.int8`, integers and scales apart, without any
/// rounding: `NAME` I8 and `NAME_scale` F16. Other matrices become float32. Rows that llama.cpp
/// interleaves come back into the order of Hugging Face.
struct GGUFTensors: TensorFile {
  let path: String
  private let file: GGUFFile
  private let tensors: [String: Source]

  private struct Source {
    let entry: GGUFFile.Entry
    let part: Part
    /// Heads whose rows are interleaved; 1 where rows are in order.
    let heads: Int
  }

  private enum Part { case whole, integers, scales }

  init(_ model: GGUFModel) throws(CheckpointError) {
    let path = model.path
    (self.path, file) = (path, model.file)
    let heads = try model.headCounts()
    var tensors: [String: Source] = [:]
    for entry in model.file.entries where !GGUFArchitecture.settings.contains(entry.name) {
      let name = model.architecture.huggingFaceName(of: entry.name)
      let interleaved =
        name.contains(".q_proj.") ? heads.queries : name.contains(".k_proj.") ? heads.keys : 1
      let count = model.architecture.interleavesHeads ? interleaved : 1
      guard count == 1 || entry.shape[0] % (2 * count) == 0 else {
        throw CheckpointError(
          .disagreement,
          "\(path): \(entry.name) has \(entry.shape[0]) rows, expected an even number for each of "
            + "\(count) heads")
      }
      func add(_ name: String, _ part: Part) throws(CheckpointError) {
        guard
          tensors.updateValue(Source(entry: entry, part: part, heads: count), forKey: name) == nil
        else {
          throw CheckpointError(.malformed, "\(path): two tensors stand for \(name)")
        }
      }
      if entry.isIntegers {
        try add(name, .integers)
        try add(Parameter(name, entry.shape, .projection).scalesName, .scales)
      } else {
        try add(name, .whole)
      }
    }
    self.tensors = tensors
  }

  var names: [String] { Array(tensors.keys) }

  /// INT8 where all matrices are groups of integers; else the widest type that some matrix has, FP16
  /// standing for all that only float32 holds: a relative error of at most 2^-11.
  var weightType: WeightType? {
    let matrices = tensors.values.map(\.entry).filter { $0.shape.count == 2 }
    let types = Set(matrices.map { $0.type.exactWeightType ?? .float16 })
    return [.float32, .bfloat16, .float16, .int8].first(where: types.contains)
  }

  func description(of name: String) -> TensorDescription? {
    tensors[name].map { source in
      let entry = source.entry
      switch source.part {
      case .integers: return TensorDescription(dataType: .int8, shape: entry.shape)
      case .scales:
        let shape = WeightType.scalesShape(rows: entry.shape[0], columns: entry.shape[1])
        return TensorDescription(dataType: .float16, shape: shape)
      case .whole:
        let type = entry.isQuantized ? nil : entry.type.exactWeightType
        return TensorDescription(dataType: (type ?? .float32).dataType, shape: entry.shape)
      }
    }
  }

  func tensor(_ name: String) -> Tensor {
    guard let source = tensors[name], let description = description(of: name) else {
      preconditionFailure("no tensor \(name)")
    }
    let entry = source.entry
    let tensor: Tensor
    switch source.part {
    case .whole where !entry.isQuantized:
      tensor = file.arena.view(
        at: entry.byteRange.lowerBound, description.shape, description.dataType)
      if source.heads == 1 { return tensor }
    case .whole:
      tensor = Tensor(description)
      let floats = tensor.floats
      GGUFBlocks.dequantize(bytes(of: entry), of: entry.type, into: floats)
    case .integers:
      tensor = Tensor(description)
      let target = tensor.bytes.assumingMemoryBound(to: Int8.self)
      forEachBlock(of: entry) { index, block in
        guard let start = target.baseAddress else { return }
        GGUFBlocks.integers(of: block, entry.type, into: start + 32 * index)
      }
    case .scales:
      tensor = Tensor(description)
      let target = tensor.bytes.assumingMemoryBound(to: UInt16.self)
      forEachBlock(of: entry) { index, block in target[index] = block.loadUnaligned(as: UInt16.self)
      }
    }
    return source.heads == 1 ? tensor : tensor.separatingHeads(source.heads)
  }

  private func bytes(of entry: GGUFFile.Entry) -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(
      rebasing: UnsafeRawBufferPointer(file.arena.elements(.uint8).bytes)[entry.byteRange])
  }

  private func forEachBlock(
    of entry: GGUFFile.Entry, _ body: (Int, UnsafeRawBufferPointer) -> Void
  ) {
    let (bytes, size) = (bytes(of: entry), entry.type.blockByteCount)
    for index in 0..<bytes.count / size {
      body(index, UnsafeRawBufferPointer(rebasing: bytes[index * size..<(index + 1) * size]))
    }
  }
}

extension GGUFFile.Entry {
  /// Whether it is a matrix of groups of integers.
  fileprivate var isIntegers: Bool { type.exactWeightType == .int8 && shape.count == 2 }

  /// Whether its elements lie in blocks.
  fileprivate var isQuantized: Bool { type.blockSize > 1 }
}

extension GGUFModel {
  /// The heads of queries and of keys.
  fileprivate func headCounts() throws(CheckpointError) -> (queries: Int, keys: Int) {
    guard architecture.interleavesHeads else { return (1, 1) }
    let configuration = try ModelFolder.configuration(of: self)
    return (configuration.attention.heads, configuration.attention.kvHeads)
  }
}

extension Tensor {
  /// New memory of the host for a tensor.
  fileprivate init(_ description: TensorDescription) {
    self = Tensor.allocated(description.shape, description.dataType)
  }

  /// New memory of the host.
  static func allocated(_ shape: [Int], _ dataType: DataType) -> Tensor {
    let size = shape.reduce(dataType.byteCount, *)
    return Arena(byteCount: size).view(at: 0, shape, dataType)
  }

  /// The rows of each of `heads` in the order of Hugging Face, which rotates the halves of a head
  /// against each other, where the file has the rows in pairs, as llama.cpp rotates them.
  func separatingHeads(_ heads: Int) -> Tensor {
    rearranged(heads) { row, half in row % half * 2 + row / half }
  }

  /// The inverse of ``separatingHeads(_:)``.
  func interleavingHeads(_ heads: Int) -> Tensor {
    rearranged(heads) { row, half in row % 2 * half + row / 2 }
  }

  /// The tensor whose row r of each head is row `source(r, half of the head)` of this one.
  private func rearranged(_ heads: Int, _ source: (Int, Int) -> Int) -> Tensor {
    let result = Tensor.allocated(shape, dataType)
    let size = shape[0] / heads
    let stride = byteCount / shape[0]
    let (from, to) = (UnsafeRawBufferPointer(bytes), result.bytes)
    for row in 0..<shape[0] {
      let start = (row - row % size + source(row % size, size / 2)) * stride
      UnsafeMutableRawBufferPointer(rebasing: to[row * stride..<(row + 1) * stride])
        .copyMemory(from: UnsafeRawBufferPointer(rebasing: from[start..<start + stride]))
    }
    return result
  }
}

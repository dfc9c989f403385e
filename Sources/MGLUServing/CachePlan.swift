/// How many sequences an engine runs at once, how long they may be, and the blocks of its KV cache.
struct CachePlan {
  let maxSequences: Int
  let contextLength: Int
  let blocks: Int

  /// Where the device computes on its own; elsewhere more sequences at once gain little.
  private static let (mostOnDevice, mostOnHost) = (256, 8)
  /// What kernels and their scratch need of a device's memory.
  private static let reserve = 1 << 29

  /// The plan for a model that is loaded, beside `others` like it, which on a CPU have caches in the same
  /// memory.
  ///
  /// Throws ``ServingProblem/settings`` if a setting is out of its range, and ``ServingProblem/memory`` if
  /// the memory does not hold a sequence of the whole context, or, on a CPU, all of them.
  init(
    _ model: InferenceModel, besides others: Int = 0, _ settings: EngineSettings
  ) throws(ServingError) {
    try settings.validate()
    let limit = model.configuration.contextLength
    let device = model.deviceMemory
    contextLength = min(settings.contextLength ?? limit, limit)
    maxSequences =
      settings.maxSequences ?? (device == nil ? Self.mostOnHost : Self.mostOnDevice)
    let perSequence = model.cacheBlocks(tokens: contextLength)
    let perBlock = model.cacheByteCount(blocks: 1) - model.cacheByteCount(blocks: 0)
    let (all, overflow) = maxSequences.multipliedReportingOverflow(by: perSequence)
    let most = overflow ? Int.max / perBlock / 4 : all
    let buffers = model.sessionByteCount(
      maxSequences: maxSequences, contextLength: contextLength)
    if let bytes = settings.cacheBytes {
      blocks = bytes / perBlock - 1
    } else if let device {
      let used = Double(device.total - device.free)
      let budget = Double(device.total) * settings.memoryUtilization - used
      let available = Int(max(0, budget)) - buffers - Self.reserve
      blocks = min(available / perBlock - 1, 2 * most)
    } else {
      blocks = most
    }
    guard blocks >= perSequence else {
      let bytes = PhysicalMemory.gibibytes(Double(max(0, blocks)) * Double(perBlock))
      let needed = PhysicalMemory.gibibytes(Double(perSequence) * Double(perBlock))
      throw ServingError(
        .memory,
        "\(bytes) are there for the key-value cache: a sequence of \(contextLength) tokens takes "
          + needed, remedy: "allow more memory, or shorter sequences")
    }
    let sessions = device == nil ? others + 1 : 1
    let sequences = "\(maxSequences) sequences of \(contextLength) tokens"
    do {
      try PhysicalMemory.require(
        Double(sessions) * (Double(blocks) * Double(perBlock) + Double(buffers)), on: device,
        for: "the key-value cache of " + (sessions > 1 ? "\(sessions) times " : "") + sequences,
        remedy: "allow fewer or shorter sequences")
    } catch {
      throw ServingError(.memory, error.message, remedy: error.remedy)
    }
  }
}

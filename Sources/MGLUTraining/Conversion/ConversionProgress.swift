import MGLUModel

/// The finished layers of a conversion in a folder, `layer-0.safetensors` and its like, so that one
/// that was interrupted goes on: each file whole or not at all, and `conversion.json` says of what. One
/// process at a time has the folder.
final class ConversionProgress {
  /// What two conversions must agree in for one to go on with the layers of the other.
  struct Identity: Codable, Equatable {
    let settings: CalibrationSettings
    let calibrationTokens: Int
    let calibrationText: UInt32
    let model: UInt32
    /// The backend's ``Backend/kernelSet``; threads may be others.
    let computedBy: String

    /// In what this one differs from `other`.
    func differences(from other: Identity) -> [String] {
      [
        settings == other.settings ? nil : "other settings",
        calibrationTokens == other.calibrationTokens
          ? nil : "\(calibrationTokens) calibration tokens, not \(other.calibrationTokens)",
        calibrationText == other.calibrationText ? nil : "another calibration text",
        model == other.model ? nil : "another model",
        computedBy == other.computedBy ? nil : "computed by \(computedBy), not \(other.computedBy)",
      ].compactMap(\.self)
    }
  }

  let folder: String
  private let configuration: FeedForwardConfiguration
  private let lock: FolderLock

  /// Takes up what `folder` keeps of the conversion `identity`, or begins there.
  init(
    folder: String, identity: Identity, configuration: FeedForwardConfiguration
  ) throws {
    self.folder = folder
    self.configuration = configuration
    let path = folder + "/conversion.json"
    let found = try ExperimentFile.read(Identity.self, from: path)
    guard found == nil || found == identity else {
      let differences = found.map { identity.differences(from: $0) } ?? []
      throw ConversionError(
        .otherConversion,
        "\(folder) keeps the layers of another conversion: \(differences.joined(separator: "; "))",
        remedy: "repeat that conversion, or remove the folder")
    }
    try Folder.create(folder)
    lock = try FolderLock(folder)
    if found == nil { try ExperimentFile.write(identity, to: path) }
  }

  private func path(_ layer: Int) -> String { "\(folder)/layer-\(layer).safetensors" }

  /// The layers that are kept, from the first without a gap.
  var finishedLayers: Int {
    var count = 0
    while Folder.kind(of: path(count)) == .file { count += 1 }
    return count
  }

  /// Keeps layer `index`.
  func save(_ layer: ConvertedLayer, index: Int, on host: CPUBackend) throws {
    try SafeTensorsWriter.write(
      [
        SafeTensorsWriter.Item(name: "weight", tensor: layer.weight),
        SafeTensorsWriter.Item(name: "masks", tensor: MaskBits.pack(layer.maskSigns, on: host)),
        SafeTensorsWriter.Item(name: "down", tensor: layer.down),
      ], to: path(index))
  }

  /// Reads layer `index` into `layer`.
  func load(_ index: Int, into layer: ConvertedLayer) throws {
    let file = try SafeTensors(path: path(index))
    try file.load("weight", into: layer.weight)
    try file.load("down", into: layer.down)
    guard let masks = file["masks"], masks.dataType == .uint8,
      masks.shape == MaskBits.shape(of: layer.maskSigns.shape)
    else {
      throw CheckpointError(
        .disagreement, "\(path(index)): no masks of \(layer.maskSigns.shape)",
        remedy: "remove the file")
    }
    MaskBits.unpack(file.view(of: masks), into: layer.maskSigns)
  }

  /// Removes the folder.
  func remove() throws { try Folder.remove(folder) }
}

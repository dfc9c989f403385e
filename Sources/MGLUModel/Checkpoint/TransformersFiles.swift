internal import CMGLUTransformers

/// The Python files with which transformers loads a model folder that is no stock Llama
/// (`trust_remote_code=True`).
enum TransformersFiles {
  /// `auto_map` of config.json: which classes of which files.
  static let autoMap = [
    "AutoConfig": "configuration_mglu.MGLUConfig",
    "AutoModelForCausalLM": "modeling_mglu.MGLUForCausalLM",
  ]

  /// Writes the files and returns the CRC-32C of each by name.
  static func write(to folder: String) throws(FileError) -> [String: UInt32] {
    var checksums: [String: UInt32] = [:]
    var index: Int32 = 0
    while let file = cmglu_transformers_file_at(index)?.pointee {
      let name = String(cString: file.name)
      let bytes = UnsafeRawBufferPointer(start: file.text, count: file.size)
      checksums[name] = try AtomicFile.write(Array(bytes), to: folder + "/" + name)
      index += 1
    }
    return checksums
  }
}

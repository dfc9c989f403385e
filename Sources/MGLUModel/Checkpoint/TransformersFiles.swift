internal import CMGLUResources

/// The Python files with which transformers loads a model folder that is no stock Llama
/// (`trust_remote_code=True`).
enum TransformersFiles {
  /// `auto_map` of config.json: which classes of which files.
  static let autoMap = [
    "AutoConfig": "configuration_mglu.MGLUConfig",
    "AutoModel": "modeling_mglu.MGLUModel",
    "AutoModelForCausalLM": "modeling_mglu.MGLUForCausalLM",
  ]

  /// Writes the files and returns the CRC-32C of each by name.
  static func write(to folder: String) throws(FileError) -> [String: UInt32] {
    let files = [
      "configuration_mglu.py": cmglu_configuration_py(), "modeling_mglu.py": cmglu_modeling_py(),
    ]
    var checksums: [String: UInt32] = [:]
    for (name, text) in files {
      checksums[name] = try AtomicFile.write(
        Array(String(cString: text).utf8), to: folder + "/" + name)
    }
    return checksums
  }
}

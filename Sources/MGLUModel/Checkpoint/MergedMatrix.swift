/// Matrices that a file may hold as one, one below the other: queries, keys and values, or gate and up.
struct MergedMatrix {
  /// The name of the whole, such as `model.layers.0.self_attn.qkv_proj.weight`.
  let name: String
  /// The parts, first to last.
  let parts: [Parameter]

  /// Its rows.
  var rows: Int { parts.reduce(0) { $0 + $1.shape[0] } }
}

extension ModelConfiguration {
  /// The matrices that Phi-3 merges.
  var mergedMatrices: [MergedMatrix] {
    parameterTable.layers.flatMap { layer in
      [
        MergedMatrix(layer.qkv, of: "q_proj.weight", as: "qkv_proj.weight"),
        MergedMatrix(layer.unit.up, of: "gate_proj.weight", as: "gate_up_proj.weight"),
      ].compactMap(\.self)
    }
  }
}

extension MergedMatrix {
  /// What lies together in memory, unless it is a single matrix; the name of the first ends with `first`.
  fileprivate init?(_ parts: [Parameter], of first: String, as whole: String) {
    guard parts.count > 1, parts[0].name.hasSuffix(first) else { return nil }
    self.init(name: parts[0].name.dropLast(first.count) + whole, parts: parts)
  }
}

extension MergedMatrix {
  /// The name of the scales that the whole has where it is INT8.
  var scalesName: String { Parameter(name, [], .projection).scalesName }

  /// `items` with those that belong to one of `matrices`, or are the scales of such, as one each, where the
  /// first of them was.
  static func merging(
    _ items: [SafeTensorsWriter.Item], _ matrices: [MergedMatrix]
  ) -> [SafeTensorsWriter.Item] {
    var wholes: [String: String] = [:]
    for matrix in matrices {
      for part in matrix.parts {
        wholes[part.name] = matrix.name
        wholes[part.scalesName] = matrix.scalesName
      }
    }
    let groups = Dictionary(grouping: items) { wholes[$0.name] ?? $0.name }
    var written: Set<String> = []
    return items.compactMap { item in
      let name = wholes[item.name] ?? item.name
      guard written.insert(name).inserted, let parts = groups[name] else { return nil }
      return parts.count == 1 ? item : .stacked(name: name, parts)
    }
  }
}

extension SafeTensorsWriter.Item {
  /// Tensors of one type and equal rows, one below the other.
  fileprivate static func stacked(
    name: String, _ parts: [SafeTensorsWriter.Item]
  ) -> SafeTensorsWriter.Item {
    var shape = parts[0].shape
    shape[0] = parts.reduce(0) { $0 + $1.shape[0] }
    return SafeTensorsWriter.Item(name: name, dataType: parts[0].dataType, shape: shape) {
      file throws(FileError) in
      for part in parts { try part.write(&file) }
    }
  }
}

/// What finds any of several stop sequences in one pass over a text (Aho and Corasick): a tree of
/// the beginnings of stop sequences. A byte leads from the longest one that a text ends with to the
/// next.
///
/// A byte takes constant time on the average, however many and long the stop sequences are. The
/// sequences of a request share the tree.
final class StopAutomaton: Sendable {
  /// A beginning of a stop sequence; the first one, the root, is empty.
  private struct Node {
    /// Its number of bytes.
    let length: Int32
    /// The longest other beginning that it ends with.
    var suffix: Int32 = 0
    /// The length of the longest stop sequence that it ends with, or 0.
    var match: Int32 = 0
  }

  private let nodes: [Node]
  /// The nodes that are one byte longer, by node and byte.
  private let children: [UInt64: Int32]

  /// What finds `stops`; empty ones are ignored.
  init(_ stops: [String]) {
    var nodes = [Node(length: 0)]
    var children: [UInt64: Int32] = [:]
    // Sorted by length, a node comes behind its suffix.
    var edges: [(parent: Int32, byte: UInt8, node: Int32)] = []
    for stop in stops where !stop.isEmpty {
      var node: Int32 = 0
      for byte in stop.utf8 {
        let key = Self.key(node, byte)
        if let child = children[key] {
          node = child
          continue
        }
        let child = Int32(nodes.count)
        nodes.append(Node(length: nodes[Int(node)].length + 1))
        children[key] = child
        edges.append((node, byte, child))
        node = child
      }
      nodes[Int(node)].match = nodes[Int(node)].length
    }
    edges.sort { nodes[Int($0.node)].length < nodes[Int($1.node)].length }
    for (parent, byte, node) in edges where parent != 0 {
      var suffix = nodes[Int(parent)].suffix
      while suffix != 0, children[Self.key(suffix, byte)] == nil {
        suffix = nodes[Int(suffix)].suffix
      }
      suffix = children[Self.key(suffix, byte)] ?? 0
      nodes[Int(node)].suffix = suffix
      // A whole stop sequence is the longest that it ends with.
      if nodes[Int(node)].match == 0 { nodes[Int(node)].match = nodes[Int(suffix)].match }
    }
    (self.nodes, self.children) = (nodes, children)
  }

  /// Whether there is nothing to find.
  var isEmpty: Bool { children.isEmpty }

  /// The node of a text that `byte` follows the text of `node` with.
  func next(_ node: Int32, _ byte: UInt8) -> Int32 {
    var node = node
    while true {
      if let child = children[Self.key(node, byte)] { return child }
      if node == 0 { return 0 }
      node = nodes[Int(node)].suffix
    }
  }

  /// The length of the longest stop sequence that a text of `node` ends with, or 0.
  func matchLength(_ node: Int32) -> Int { Int(nodes[Int(node)].match) }
  /// How many of a text's last bytes may begin a stop sequence.
  func length(_ node: Int32) -> Int { Int(nodes[Int(node)].length) }

  private static func key(_ node: Int32, _ byte: UInt8) -> UInt64 {
    UInt64(node) << 8 | UInt64(byte)
  }
}

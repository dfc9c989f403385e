import MGLUCompute

/// Folders of the checkout that the tests were compiled from.
package enum RepositoryFolder {
  /// The checkout itself.
  package static let root = (0..<3).reduce(#filePath) { path, _ in Folder.parent(of: path) }
  /// What the scripts of `Tests/Reference` wrote.
  package static let vectors = root + "/Tests/Reference/vectors"
}

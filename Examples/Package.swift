// swift-tools-version: 6.2
import PackageDescription

/// Small programs that use swift-mglu as any other package would.
let package = Package(
  name: "Examples",
  platforms: [.macOS(.v15)],
  dependencies: [.package(name: "swift-mglu", path: "..")],
  targets: [
    .executableTarget(
      name: "GenerateMany", dependencies: [.product(name: "MGLUServing", package: "swift-mglu")]),
    .executableTarget(
      name: "LoadAndGenerate", dependencies: [.product(name: "MGLUModel", package: "swift-mglu")]),
    .executableTarget(
      name: "OneLayer", dependencies: [.product(name: "MGLU", package: "swift-mglu")]),
    .executableTarget(
      name: "Serve", dependencies: [.product(name: "MGLUServer", package: "swift-mglu")]),
    .executableTarget(
      name: "Train", dependencies: [.product(name: "MGLUTraining", package: "swift-mglu")]),
  ],
  swiftLanguageModes: [.v6]
)

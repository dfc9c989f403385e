import ArgumentParser
import MGLUModel

/// The devices of one model: one, or several GPUs of this machine that share it.
struct DeviceGroup: CustomStringConvertible {
  let devices: [Device]

  static let cpu = DeviceGroup(devices: [.cpu])

  /// The help of `--device`.
  static var help: ArgumentHelp {
    "Where to compute: \(DeviceKind.names), as mglu devices lists them; cuda:0,1 share the model."
  }

  private init(devices: [Device]) { self.devices = devices }

  /// Reads a device, or several numbered ones with commas between them: `cuda:0,1` or `cuda:0,cuda:1`.
  init(parsing text: String) throws {
    let names = text.split(separator: ",", omittingEmptySubsequences: false)
    let kind = names[0].prefix { $0 != ":" }
    devices = try names.map { name in
      try Device(parsing: name.first?.isNumber == true ? "\(kind):\(name)" : String(name))
    }
    for (index, device) in devices.enumerated() where devices.count > 1 {
      guard device.kind.isNumbered, !devices[..<index].contains(device) else {
        throw ValidationError("several devices share a model if each is another GPU: cuda:0,1")
      }
    }
  }

  var description: String { devices.map(\.description).joined(separator: ",") }
}

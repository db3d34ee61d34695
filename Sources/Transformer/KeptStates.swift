import Files
import GGUF
import Tensors

/// Hidden states of a text before some layers, in a folder: one run keeps them, and others begin with them.
///
/// A file has the states of consecutive windows before one layer, 4 bytes for each token and column of the model:
/// `layer-<layer>.windows-<first>-<count>.gguf`. Its header names the model, the text and the version, so that states of
/// another run are refused. Every window has a SHA-256.
public struct KeptStates: Sendable {
  public let folder: String
  /// The whole text, of which every file has some windows.
  let windows: [[Int32]]
  /// The inputs that decide about the states.
  let inputs: [Input]

  struct Input: Sendable, Equatable {
    let name: String
    let value: String
  }

  /// The run that made a file.
  public struct Origin: Sendable, Equatable {
    /// Its arguments, without those that choose a part.
    public let arguments: [String]
    /// nil for the whole text.
    public let part: RunPart?

    public init(arguments: [String], part: RunPart?) { (self.arguments, self.part) = (arguments, part) }
  }

  /// - Parameters:
  ///   - model: the fingerprint of the model.
  ///   - version: the program's version.
  ///   - windows: the whole text.
  public init(folder: String, model: String, version: String, windows: [[Int32]], by pass: ForwardPass) {
    self.folder = folder
    self.windows = windows
    var text = DataDigest()
    for window in windows { text.update(window.span.bytes) }
    inputs = [
      Input(name: "source model", value: model), Input(name: "version of the program", value: version),
      Input(name: "matrix product", value: pass.engine.name),
      Input(name: "context size", value: "\(windows.first?.count ?? 0)"),
      Input(name: "number of windows", value: "\(windows.count)"), Input(name: "text", value: text.hex()),
    ]
  }

  enum Key {
    static let kind = "kept-states"
    static let (names, values) = ("states.inputs", "states.inputs.values")
    static let (arguments, part) = ("states.command", "states.part")
    /// The layer, and the index of the first window.
    static let position = "states.position"
  }

  /// The names of a file's tensors.
  enum Tensor {
    static let (states, digests) = ("states", "sha256")
  }

  /// Bytes of the states of some windows before one layer.
  public static func bytes(windows: [[Int32]], of decoder: Decoder) -> Int {
    windows.count * ((windows.first?.count ?? 0) * decoder.width * 4 + DataDigest.byteCount)
  }

  /// The layers and windows whose states a run keeps.
  public struct Keeping: Sendable, Equatable {
    /// The layers before which states are kept.
    public let layers: Set<Int>
    /// The run's windows by their index in the whole text.
    public let range: Range<Int>
    public let origin: Origin

    public init(layers: Set<Int>, windows range: Range<Int>, origin: Origin) {
      (self.layers, self.range, self.origin) = (layers, range, origin)
    }
  }
}

/// The true kind of a file that is not of the format its name promises.
///
/// Failed downloads leave such files under a model's name.
public enum ForeignFile: Sendable, Equatable {
  /// The text file that a clone without Git LFS has instead of a large file.
  case gitPointer
  /// An HTML page, such as a login form or an error.
  case webPage
  /// A server's error message.
  case refusal
  /// Zeros alone: space that a download has reserved.
  case zeros
  /// A ZIP archive, the container of PyTorch's files.
  case archive
  /// A Python pickle, the container of PyTorch's older files.
  case pickle
  case gguf
  /// A predecessor of GGUF.
  case ggml
  case safetensors
  case json
  case hdf5
  case numpy

  /// Bytes that ``init(_:)`` examines.
  public static let length = 64

  /// The kind that the first bytes show; nil where they show none.
  ///
  /// - Parameter beginning: the first ``length`` bytes of the file, or all of a shorter one.
  public init?(_ beginning: [UInt8]) {
    func begins(_ text: String) -> Bool { beginning.starts(with: text.utf8) }
    let text = String(decoding: beginning.drop { $0 == 0x20 || (0x09...0x0D).contains($0) }, as: UTF8.self).lowercased()
    if begins("version https://git-lfs") || begins("version https://hawser") {
      self = .gitPointer
    } else if begins("GGUF") {
      self = .gguf
    } else if ["lmgg", "fmgg", "tjgg", "algg", "ggml", "ggmf", "ggjt", "ggla"].contains(where: begins) {
      self = .ggml
    } else if begins("PK\u{3}\u{4}") {
      self = .archive
    } else if beginning.starts(with: [0x89]) && beginning.dropFirst().starts(with: "HDF".utf8) {
      self = .hdf5
    } else if beginning.starts(with: [0x93]) && beginning.dropFirst().starts(with: "NUMPY".utf8) {
      self = .numpy
    } else if beginning.count > 1, beginning[0] == 0x80, (2...5).contains(beginning[1]) {
      self = .pickle
    } else if beginning.count > 9, beginning[5..<8].allSatisfy({ $0 == 0 }), beginning[8] == UInt8(ascii: "{") {
      self = .safetensors
    } else if text.hasPrefix("<!doctype") || text.hasPrefix("<html") || text.hasPrefix("<?xml") {
      self = .webPage
    } else if ["entry not found", "invalid username", "access to model", "repository not found", "{\"error\""]
      .contains(where: text.hasPrefix)
    {
      self = .refusal
    } else if text.hasPrefix("{") || text.hasPrefix("[") {
      self = .json
    } else if beginning.count >= 16, beginning.allSatisfy({ $0 == 0 }) {
      self = .zeros
    } else {
      return nil
    }
  }

  /// The name of the kind in a message, with an article: `a web page`.
  public var noun: String {
    switch self {
    case .gitPointer: "a Git LFS pointer"
    case .webPage: "a web page"
    case .refusal: "a server's error message"
    case .zeros: "a file of zeros"
    case .archive: "a ZIP archive (the container of PyTorch's files)"
    case .pickle: "a Python pickle (the container of PyTorch's older files)"
    case .gguf: "a GGUF file"
    case .ggml: "a GGML file, the predecessor of GGUF"
    case .safetensors: "a safetensors file"
    case .json: "a JSON file"
    case .hdf5: "an HDF5 file (the container of TensorFlow's files)"
    case .numpy: "a NumPy file"
    }
  }

  /// Advice for the person who named the file.
  public var hint: String {
    switch self {
    case .gitPointer: "run git lfs pull, or download the file again"
    case .webPage, .refusal: "the download failed: download it again"
    case .zeros: "the download is incomplete: download it again"
    case .archive, .pickle, .hdf5, .numpy: "save the model as safetensors"
    case .gguf: "give it a name that ends in .gguf"
    case .ggml: "convert the original model instead"
    case .safetensors: "give it a name that ends in .safetensors, beside config.json and the tokenizer"
    case .json: "name the model's directory, which holds this file"
    }
  }
}

/// What a file is where its first bytes show that it is not what its name promises.
///
/// Downloads that failed leave such files in the place of models; so do formats that share an extension.
public enum ForeignFile: Sendable, Equatable {
  /// What a clone without Git LFS holds in the place of a large file.
  case gitPointer
  /// A page of HTML, such as a login form or an error.
  case webPage
  /// The text of a server's refusal.
  case refusal
  /// Nothing but zeros: space that a download has reserved.
  case zeros
  /// A ZIP archive, which PyTorch's files are.
  case archive
  /// A Python pickle, which PyTorch's older files are.
  case pickle
  case gguf
  /// The predecessor of GGUF, in one of its versions.
  case ggml
  case safetensors
  case json
  case hdf5
  case numpy

  /// Bytes from the beginning of a file that ``init(_:)`` looks at.
  public static let length = 64

  /// - Parameter beginning: the first ``length`` bytes of the file, or all that it has.
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

  /// For messages: `is a web page, not a GGUF file`.
  public var noun: String {
    switch self {
    case .gitPointer: "a Git LFS pointer"
    case .webPage: "a web page"
    case .refusal: "a server's error message"
    case .zeros: "a file of zeros"
    case .archive: "a ZIP archive (PyTorch's files are such)"
    case .pickle: "a Python pickle (PyTorch's older files are such)"
    case .gguf: "a GGUF file"
    case .ggml: "a GGML file, the form before GGUF"
    case .safetensors: "a safetensors file"
    case .json: "a JSON file"
    case .hdf5: "an HDF5 file (TensorFlow's are such)"
    case .numpy: "a NumPy file"
    }
  }

  public var hint: String {
    switch self {
    case .gitPointer: "run git lfs pull, or download the file again"
    case .webPage, .refusal: "the download failed: download it again"
    case .zeros: "the download is incomplete: download it again"
    case .archive, .pickle, .hdf5, .numpy: "save the model as safetensors"
    case .gguf: "name it as the model; its name ends in .gguf"
    case .ggml: "convert the original model instead"
    case .safetensors: "its name ends in .safetensors, and config.json and the tokenizer are beside it"
    case .json: "name the directory that holds it, which is the model"
    }
  }
}

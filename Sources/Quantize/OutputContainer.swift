import GGUF
import Tensors

/// The files of a rewritten model in another form than GGUF, with the type of every tensor.
public protocol OutputContainer: Sendable {
  /// Bytes of all files.
  var totalBytes: Int { get }
  /// Bytes of all files without the tensors' data.
  var headerBytes: Int { get }
  /// SHA-256 of everything but the tensors' data, in hexadecimal.
  var digest: String { get }

  /// Throws where the output can't be written under this path.
  func check(_ path: String, overwrite: Bool) throws
  /// Whether an earlier run left temporary files for an output.
  func isBegun(_ path: String) -> Bool
  /// - Parameter resuming: keeps the temporary files of an earlier run.
  func writer(path: String, overwrite: Bool, resuming: Bool) throws -> any TensorWriter
}

/// A form of model files, for models of any types.
public protocol OutputForm: Sendable {
  /// The types that a quantizer may choose from.
  var menu: [GGMLType] { get }
  /// The files of a model with these types, in the order of the source's tensors.
  func container(_ types: [GGMLType], _ header: OutputHeader) throws -> any OutputContainer
  /// The mixes that a fitted one is compared with, by name.
  var baselines: [(name: String, types: [GGMLType])] { get }
  /// Bytes of a tensor's data; nil for a type that the form lacks, or whose blocks don't fit the rows.
  func bytes(of tensor: TensorInfo, as type: GGMLType) -> Int?
}

/// A model whose quantized form is not a GGUF.
public protocol FormedSource: ModelSource {
  var form: any OutputForm { get }
  /// The model that importance is measured on: one with the same weights under the same names, so that other forms of it
  /// share the matrix.
  var measured: any ModelSource { get }
}

extension ModelSource {
  /// The form in which the model is written; nil for GGUF.
  public var outputForm: (any OutputForm)? { (self as? any FormedSource)?.form }
}

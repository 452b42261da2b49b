/**
 * The published data sets as data: where they come from, what their files are called, how long they are and what they
 * sum to.
 *
 * Guarantees: sizes are bytes; `md5` and `sha256` are of the file as downloaded, `unpacked` of the file that loaders
 * read (null where nobody publishes one). `trainPixelSum` is the sum of all bytes of the training images, from the
 * means that are published for normalisation.
 *
 * Does not download or open anything.
 *
 * Sources: MNIST, LeCun, Cortes, Burges (checksums as in the mirrors' listings); Fashion-MNIST, Xiao, Rasul, Vollgraf,
 * https://github.com/zalandoresearch/fashion-mnist; CIFAR, Krizhevsky, https://www.cs.toronto.edu/~kriz/cifar.html.
 */

export type PublishedName = "mnist" | "fashion-mnist" | "cifar10" | "cifar100";

/** One file as the publisher serves it. */
export interface Download {
  readonly file: string;
  readonly bytes: number;
  readonly md5: string;
  readonly sha256: string;
  /** Tried in this order. */
  readonly urls: readonly string[];
}

/** One file as loaders read it. */
export interface DataFile {
  readonly file: string;
  readonly bytes: number;
  readonly sha256: string | null;
}

interface Published {
  readonly name: string;
  readonly title: string;
  readonly shape: readonly [number, number, number];
  readonly classes: number;
  readonly trainImages: number;
  readonly testImages: number;
  readonly trainPixelSum: number;
  /** Folder within the data folder that a fetch fills. */
  readonly folder: string;
  /** Folders within the data folder where files are looked for, `.` for itself. */
  readonly folders: readonly string[];
}

/** Four IDX files, each plain or gzipped. */
export interface PublishedIdx extends Published {
  readonly format: "idx";
  readonly files: {
    readonly trainImages: DataFile;
    readonly trainLabels: DataFile;
    readonly testImages: DataFile;
    readonly testLabels: DataFile;
  };
  readonly downloads: readonly Download[];
}

/** Binary records: one byte for each of `labelRanges` (the last is the label used), then the image's planes. */
export interface PublishedRecords extends Published {
  readonly format: "records";
  readonly labelRanges: readonly number[];
  readonly train: readonly DataFile[];
  readonly test: readonly DataFile[];
  readonly downloads: readonly [Download];
}

export type PublishedDataset = PublishedIdx | PublishedRecords;

type Sums = readonly [bytes: number, md5: string, sha256: string, unpacked: string | null];

function idx(
  name: string,
  rest: Pick<PublishedIdx, "title" | "trainPixelSum" | "folders">,
  bases: readonly string[],
  sums: readonly [Sums, Sums, Sums, Sums],
): PublishedIdx {
  const file = (base: string, bytes: number, [, , , sha256]: Sums): DataFile => ({ file: base, bytes, sha256 });
  const names = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
  ] as const;
  return {
    name,
    ...rest,
    shape: [1, 28, 28],
    classes: 10,
    trainImages: 60_000,
    testImages: 10_000,
    folder: name,
    format: "idx",
    files: {
      trainImages: file(names[0], 16 + 60_000 * 784, sums[0]),
      trainLabels: file(names[1], 8 + 60_000, sums[1]),
      testImages: file(names[2], 16 + 10_000 * 784, sums[2]),
      testLabels: file(names[3], 8 + 10_000, sums[3]),
    },
    downloads: sums.map(([bytes, md5, sha256], i) => ({
      file: `${names[i]}.gz`,
      bytes,
      md5,
      sha256,
      urls: bases.map((base) => `${base}${names[i]}.gz`),
    })),
  };
}

const KRIZHEVSKY = "https://www.cs.toronto.edu/~kriz/";

export const PUBLISHED: Readonly<Record<PublishedName, PublishedDataset>> = {
  mnist: idx(
    "mnist",
    {
      title: "MNIST: handwritten digits, 28x28 grey",
      trainPixelSum: 1_567_298_545,
      folders: ["mnist", "MNIST/raw", "MNIST", "."],
    },
    [
      "https://ossci-datasets.s3.amazonaws.com/mnist/",
      "https://storage.googleapis.com/cvdf-datasets/mnist/",
      "http://yann.lecun.com/exdb/mnist/",
    ],
    [
      [
        9_912_422,
        "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
      ],
      [
        28_881,
        "d53e105ee54ea40749a09fcbcd1e9432",
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
      ],
      [
        1_648_877,
        "9fb629c4189551a2d022fa330f9573f3",
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
      ],
      [
        4_542,
        "ec29112dd5afa0611ce80d1b7f02629c",
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
      ],
    ],
  ),
  "fashion-mnist": idx(
    "fashion-mnist",
    {
      title: "Fashion-MNIST: clothes, 28x28 grey",
      trainPixelSum: 3_431_114_169,
      folders: ["fashion-mnist", "FashionMNIST/raw", "FashionMNIST", "fashion_mnist", "."],
    },
    [
      "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
      "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
    ],
    [
      [
        26_421_880,
        "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        null,
      ],
      [
        29_515,
        "25c81989df183df01b3e8a0aad5dffbe",
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        null,
      ],
      [
        4_422_102,
        "bef4ecab320f06d8554ea6380940ec79",
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        null,
      ],
      [
        5_148,
        "bb300cfdad3c16e7a12a480ee83cd310",
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        null,
      ],
    ],
  ),
  cifar10: {
    name: "cifar10",
    title: "CIFAR-10: things and animals, 32x32 colour",
    shape: [3, 32, 32],
    classes: 10,
    trainImages: 50_000,
    testImages: 10_000,
    trainPixelSum: 18_540_682_003,
    folder: "cifar-10-batches-bin",
    folders: ["cifar-10-batches-bin", "cifar10/cifar-10-batches-bin", "cifar10", "."],
    format: "records",
    labelRanges: [10],
    train: [
      "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
      "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
      "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
      "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
      "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
    ].map((sha256, i) => ({ file: `data_batch_${i + 1}.bin`, bytes: 30_730_000, sha256 })),
    test: [
      {
        file: "test_batch.bin",
        bytes: 30_730_000,
        sha256: "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
      },
    ],
    downloads: [
      {
        file: "cifar-10-binary.tar.gz",
        bytes: 170_052_171,
        md5: "c32a1d4ab5d03f1284b67883e8d87530",
        sha256: "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        urls: [`${KRIZHEVSKY}cifar-10-binary.tar.gz`],
      },
    ],
  },
  cifar100: {
    name: "cifar100",
    title: "CIFAR-100: a hundred classes (fine labels), 32x32 colour",
    shape: [3, 32, 32],
    classes: 100,
    trainImages: 50_000,
    testImages: 10_000,
    trainPixelSum: 18_729_378_732,
    folder: "cifar-100-binary",
    folders: ["cifar-100-binary", "cifar100/cifar-100-binary", "cifar100", "."],
    format: "records",
    labelRanges: [20, 100],
    train: [
      {
        file: "train.bin",
        bytes: 153_700_000,
        sha256: "f31298fc616915fa142368359df1c4ca2ae984d6915ca468b998a5ec6aeebf29",
      },
    ],
    test: [
      {
        file: "test.bin",
        bytes: 30_740_000,
        sha256: "d8b1e6b7b3bee4020055f0699b111f60b1af1e262aeb93a0b659061746f8224a",
      },
    ],
    downloads: [
      {
        file: "cifar-100-binary.tar.gz",
        bytes: 168_513_733,
        md5: "03b5dce01913d631647c71ecec9e9cb8",
        sha256: "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
        urls: [`${KRIZHEVSKY}cifar-100-binary.tar.gz`],
      },
    ],
  },
};

export const PUBLISHED_NAMES = Object.keys(PUBLISHED) as readonly PublishedName[];

/** The data set of that name, or `null`. */
export function published(name: string): PublishedDataset | null {
  return Object.hasOwn(PUBLISHED, name) ? PUBLISHED[name as PublishedName] : null;
}

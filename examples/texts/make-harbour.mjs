/**
 * Writes harbour.txt, a text for character networks: sentences about a small harbour, put together from a few patterns and
 * a vocabulary of about two hundred words. Free of anybody's rights. `node examples/texts/make-harbour.mjs`
 */
import { writeFileSync } from "node:fs";

const people = "captain,pilot,keeper,baker,fisher,sailor,widow,merchant,carpenter,stranger,painter,doctor".split(",");
const things = "boat,lantern,rope,anchor,net,sail,letter,basket,barrel,bell,map,candle,kettle,window,door,ladder".split(
  ",",
);
const places = "harbour,lighthouse,market,bridge,church,island,beach,garden,kitchen,tower,tavern,river".split(",");
const looks = "old,small,quiet,broken,green,heavy,bright,empty,wooden,narrow,patient,silver,tired,gentle".split(",");
const weather = "rain,wind,fog,snow,thunder,sunshine,frost,mist".split(",");
const times =
  "in the morning,at noon,every evening,before the storm,after supper,on sunday,all winter,once a year".split(",");
const acts = "mended,carried,painted,forgot,counted,watched,sold,found,lost,polished,remembered,followed".split(",");
const moves = "walked to,came back from,looked toward,sailed past,slept near,waited by".split(",");

let state = 20261121;
const below = (count) => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return Math.floor((state / 2 ** 32) * count);
};
const one = (list) => list[below(list.length)];
const noun = (list) => (below(3) === 0 ? `${one(looks)} ${one(list)}` : one(list));
const patterns = [
  () => `the ${noun(people)} ${one(acts)} the ${noun(things)} ${one(times)}`,
  () => `the ${noun(people)} ${one(moves)} the ${noun(places)} and ${one(acts)} a ${noun(things)}`,
  () => `there was ${one(weather)} over the ${noun(places)}, and nobody ${one(acts)} the ${noun(things)}`,
  () => `"where is the ${noun(things)}?" asked the ${noun(people)}`,
  () => `"it is in the ${noun(places)}," said the ${noun(people)}`,
  () => `when the ${one(weather)} came, the ${noun(people)} ${one(moves)} the ${noun(places)}`,
];

const paragraphs = Array.from({ length: 90 }, () =>
  Array.from({ length: 4 + below(3) }, () => {
    const sentence = one(patterns)();
    const start = sentence.search(/[a-z]/);
    const end = sentence.includes("?") ? "." : sentence.endsWith('"') ? "" : ".";
    return sentence.slice(0, start) + sentence.charAt(start).toUpperCase() + sentence.slice(start + 1) + end;
  }).join(" "),
);
writeFileSync(new URL("harbour.txt", import.meta.url), `${paragraphs.join("\n\n")}\n`);

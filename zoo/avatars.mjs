// Reads one JSON plan a line ({style, seed, face}) and writes one SVG a line (as a JSON string), in order.
import { createAvatar } from '@dicebear/core';
import * as collection from '@dicebear/collection';
import { createInterface } from 'node:readline';

const BACKGROUND = { blue: 'b6e3f4', pink: 'ffd5dc', lavender: 'd1d4f9', green: 'c8f2c2', yellow: 'fff3b0', gray: 'd9d9d9' };
const SKIN = { pale: 'ffdbb4', tan: 'dba06a', brown: 'a8602f', dark: '5a3a2c' };
const HAIR = { black: '1f1a1a', blond: 'f0c850', red: 'c93305', brown: '724133', blue: '4a7bd0', white: 'f2eeee', pink: 'f58fb8' };
const SHIRT = { red: 'e03c3c', blue: '3465d9', green: '2fa35b', yellow: 'f4c430', purple: '8a4fc9', white: 'fafafa' };

const numbered = (prefix, last) => Array.from({ length: last }, (_, i) => prefix + String(i + 1).padStart(2, '0'));
const chance = (on) => (on ? 100 : 0);

// Only parts that keep the caption true: no hats over the hair, no shawls, no sunglasses, no moustache sold as a beard.
const STYLES = {
  avataaars: (f, c) => ({
    skinColor: c.skin, hairColor: c.hair, facialHairColor: c.hair, clothesColor: c.shirt, accessoriesColor: ['262e33'],
    top: f.length === 'long'
      ? ['bigHair', 'bob', 'curly', 'curvy', 'longButNotTooLong', 'straight01', 'straight02', 'straightAndStrand', 'miaWallace']
      : ['shortCurly', 'shortFlat', 'shortRound', 'shortWaved', 'theCaesar', 'theCaesarAndSidePart'],
    topProbability: 100, accessories: ['prescription01', 'prescription02', 'round'], accessoriesProbability: chance(f.glasses),
    facialHair: ['beardMajestic', 'beardMedium'], facialHairProbability: chance(f.beard),
    clothing: ['hoodie', 'shirtCrewNeck', 'shirtScoopNeck', 'shirtVNeck'],
    eyes: ['default', 'happy', 'side', 'squint', 'surprised', 'wink'], mouth: ['default', 'serious', 'smile', 'twinkle', 'concerned'],
  }),
  micah: (f, c) => ({
    baseColor: c.skin, hairColor: c.hair, facialHairColor: c.hair, shirtColor: c.shirt, glassesColor: ['000000'],
    hair: f.length === 'long' ? ['full', 'pixie'] : ['fonze', 'dannyPhantom'], hairProbability: 100,
    glassesProbability: chance(f.glasses), facialHair: ['beard'], facialHairProbability: chance(f.beard), earringsProbability: 0,
  }),
  personas: (f, c) => ({
    skinColor: c.skin, hairColor: c.hair, clothingColor: c.shirt,
    hair: f.length === 'long' ? ['long', 'bobCut', 'pigtails', 'bobBangs', 'extraLong']
      : ['shortCombover', 'curlyHighTop', 'buzzcut', 'fade', 'shortComboverChops', 'mohawk'],
    eyes: f.glasses ? ['glasses'] : ['open', 'sleep', 'wink', 'happy'],
    facialHair: ['beardMustache'], facialHairProbability: chance(f.beard),
    mouth: ['smile', 'frown', 'surprise', 'bigSmile', 'smirk', 'lips'],
  }),
  openPeeps: (f, c) => ({
    skinColor: c.skin, headContrastColor: c.hair, clothingColor: c.shirt,
    // Most of this style's heads paint the hair black whatever the color; these take the color.
    head: f.length === 'long' ? ['bangs', 'grayMedium', 'mediumBangs2'] : ['grayShort', 'mohawk2', 'short4'],
    accessories: ['glasses', 'glasses2', 'glasses3', 'glasses4', 'glasses5'], accessoriesProbability: chance(f.glasses),
    facialHair: ['full', 'full2', 'full3', 'full4'], facialHairProbability: chance(f.beard), maskProbability: 0,
    face: ['awe', 'blank', 'calm', 'cheeky', 'cute', 'driven', 'eatingHappy', 'explaining', 'serious', 'smile', 'smileBig', 'solemn'],
  }),
  pixelArt: (f, c) => ({
    skinColor: c.skin, hairColor: c.hair, clothingColor: c.shirt, glassesColor: ['323232'],
    hair: f.length === 'long' ? numbered('long', 21) : numbered('short', 24), hairProbability: 100,
    glasses: numbered('dark', 7), glassesProbability: chance(f.glasses), beardProbability: chance(f.beard),
    hatProbability: 0, accessoriesProbability: 0,
  }),
  toonHead: (f, c) => ({
    skinColor: c.skin, hairColor: c.hair, clothesColor: c.shirt, clothes: ['turtleNeck', 'shirt', 'tShirt'],
    hair: ['sideComed', 'undercut', 'spiky'], hairProbability: 100,
    rearHair: ['longStraight', 'longWavy'], rearHairProbability: chance(f.length === 'long'),
    beard: ['fullBeard', 'longBeard'], beardProbability: chance(f.beard),
  }),
  miniavs: (f, c) => ({
    skinColor: c.skin, hairColor: c.hair, bodyColor: c.shirt,
    hair: f.length === 'long' ? ['long', 'ponyTail', 'curly'] : ['classic01', 'classic02', 'elvis', 'stylish'],
    glassesProbability: chance(f.glasses), mustacheProbability: 0,
  }),
  // Never trained on: rendered only to measure whether unknown styles are wrongly attributed.
  adventurer: (f, c) => ({ skinColor: c.skin, hairColor: c.hair, glassesProbability: chance(f.glasses), featuresProbability: 0, earringsProbability: 0 }),
  bigSmile: (f, c) => ({ skinColor: c.skin, hairColor: c.hair, accessories: ['glasses'], accessoriesProbability: chance(f.glasses) }),
};

for await (const line of createInterface({ input: process.stdin })) {
  const { style, seed, face } = JSON.parse(line);
  const colours = { skin: [SKIN[face.skin]], hair: [HAIR[face.hair]], shirt: [SHIRT[face.shirt]] };
  const options = { seed, backgroundColor: [BACKGROUND[face.background]], ...STYLES[style](face, colours) };
  process.stdout.write(JSON.stringify(createAvatar(collection[style], options).toString()) + '\n');
}

/** The thread that checks a database for content.ts: takes its path, answers one message, ends. */
import { parentPort, workerData } from "node:worker_threads";
import { answerContent } from "./content.js";

parentPort?.postMessage(answerContent(String(workerData)));

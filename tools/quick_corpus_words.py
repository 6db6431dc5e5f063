"""The names and sentence frames of sweeps/quick: written for this project. tools/make_quick_corpus.py turns them into files.

A frame is a line of tokens separated by single spaces. {SLOT} is filled from an inventory and tagged with its type; {SLOT^} is the
same in capitals, as in headlines. Persons are free combinations of given and family names, so no sentence says anything about a
living person. Names that are persons, places and clubs at once (Jordan, Washington, Chelsea, Lincoln, Florence ...) stand in several
inventories on purpose: only the sentence tells which it is. A leading "the" is not part of the name."""


def _names(text):
    return [" ".join(name.split()) for name in text.split(";") if name.strip()]


GIVEN = _names("""
Anna; Ben; Carlos; Dmitri; Elena; Femi; Grace; Hiroshi; Ingrid; Jordan; Kofi; Laura; Mehmet; Nadia; Oscar; Priya; Quentin; Rosa;
Samuel; Tomas; Ursula; Victor; Wei; Ximena; Yusuf; Zoe; Paris; Chelsea; Austin; Sydney; Georgia; Virginia; Florence; Dallas; Madison;
Lincoln; Carolina; Kenya; Chad; India; Asia; Adelaide; Charlotte; Brooklyn; Milan; Santiago; Vienna; Israel; Amara; Bjorn; Chiara;
Declan; Emre; Fatima; Gustav; Hana; Ivan; Jelena; Kenji; Lucia; Marco; Noor; Olga; Pablo; Rafael; Sofia; Thabo; Umar; Vera; Walter;
Yolanda; Zoltan; Alice; Boris; Clara; Daniel; Esther; Frank; Gina; Henry; Irene; Jack; Karin; Leon; Maria; Nils; Omar; Paula; Rita;
Stefan; Tariq; Valentina; William; Yuki; Aisha; Bruno; Camille; David; Erik; Farid; Gloria; Hector; Ines; Jonas; Katya; Louis;
Miriam; Nikolai; Otto; Petra; Ravi; Simone; Teresa; Viktor; Wanda; Yasmin""")

FAMILY = _names("""
Adeyemi; Bauer; Castillo; Dubois; Eriksson; Ferreira; Garcia; Hansen; Ivanov; Jansen; Kowalski; Lindqvist; Moreau; Nakamura; Okafor;
Petrov; Quiroga; Rossi; Schneider; Tanaka; Ueda; Varga; Weber; Xu; Yilmaz; Zimmermann; Washington; Lincoln; London; Hamilton; Wellington;
Houston; Berlin; York; Chester; Kent; Jackson; Boston; Burgos; Montana; Cordoba; Holland; England; France; Jordan; Newcastle; Ford;
Siemens; Wells; Chase; Morgan; Barclay; Daimler; Ferrari; Honda; Heinz; Almeida; Bianchi; Cohen; Diallo; Evans; Fischer; Gupta;
Horvath; Ito; Johansson; Khan; Larsen; Mbeki; Novak; Olsen; Papadopoulos; Ramirez; Singh; Torres; Urbina; Vasquez; Williams; Yamamoto;
Zhang; Andersen; Brown; Chavez; Dimitrov; El-Sayed; Fernandez; Gruber; Haddad; Iyer; Jovanovic; Kim; Lopez; Martinez; Nguyen;
O'Brien; Park; Reyes; Sato; Taylor; Usman; Vidal; Walker; Young; Zapata; Abebe; Bergstrom; Chen; Doyle; Fraser; Gallagher; Hughes;
Ibrahim; Keller; Laurent; MacDonald; Nowak; Owusu; Pereira; Richter; Silva; Thompson; Vogel; Wright""")

CITY = _names("""
Accra; Adelaide; Alexandria; Amsterdam; Ankara; Athens; Auckland; Austin; Baghdad; Bangkok; Barcelona; Beijing; Beirut; Berlin; Bogota;
Boston; Brisbane; Brussels; Bucharest; Budapest; Buenos Aires; Burgos; Cairo; Cape Town; Caracas; Casablanca; Charlotte; Chelsea;
Chester; Chicago; Cologne; Colombo; Copenhagen; Cordoba; Dakar; Dallas; Damascus; Delhi; Detroit; Dhaka; Dublin; Durban; Edinburgh;
Florence; Frankfurt; Geneva; Genoa; Glasgow; Hamburg; Hanoi; Harare; Havana; Helsinki; Hong Kong; Houston; Islamabad; Istanbul; Jakarta;
Jerusalem; Johannesburg; Kampala; Karachi; Kathmandu; Kiev; Kingston; Kinshasa; Kuala Lumpur; Lagos; Leeds; Leipzig; Lima; Lincoln;
Lisbon; Liverpool; London; Los Angeles; Luanda; Lyon; Madison; Madrid; Manchester; Manila; Marseille; Melbourne; Mexico City; Miami;
Milan; Minsk; Montevideo; Montreal; Moscow; Mumbai; Munich; Nairobi; Naples; New Delhi; New York; Newcastle; Nicosia; Osaka; Oslo;
Ottawa; Oxford; Palermo; Paris; Perth; Philadelphia; Phnom Penh; Porto; Prague; Pretoria; Quito; Rabat; Reykjavik; Riga; Rio de Janeiro;
Rome; Rotterdam; San Francisco; San Jose; Santiago; Sao Paulo; Sarajevo; Seattle; Seoul; Seville; Shanghai; Singapore; Sofia; St. Petersburg;
Stockholm; Stuttgart; Sydney; Taipei; Tallinn; Tashkent; Tbilisi; Tehran; Tel Aviv; The Hague; Tokyo; Toronto; Tripoli; Tunis; Turin;
Valencia; Vancouver; Venice; Vienna; Vilnius; Warsaw; Washington; Wellington; Windhoek; York; Zagreb; Zurich""")

COUNTRY = _names("""
Albania; Algeria; Angola; Argentina; Armenia; Australia; Austria; Bangladesh; Belgium; Bolivia; Botswana; Brazil; Britain; Bulgaria;
Cambodia; Cameroon; Canada; Chad; Chile; China; Colombia; Costa Rica; Croatia; Cuba; Cyprus; the Czech Republic; Denmark; Ecuador; Egypt;
England; Estonia; Ethiopia; Finland; France; Georgia; Germany; Ghana; Greece; Guatemala; Holland; Hungary; Iceland; India; Indonesia;
Iran; Iraq; Ireland; Israel; Italy; the Ivory Coast; Jamaica; Japan; Jordan; Kazakhstan; Kenya; Kuwait; Latvia; Lebanon; Libya;
Lithuania; Malaysia; Mexico; Moldova; Mongolia; Morocco; Mozambique; Namibia; Nepal; the Netherlands; New Zealand; Nigeria; Norway; Oman;
Pakistan; Panama; Paraguay; Peru; the Philippines; Poland; Portugal; Qatar; Romania; Russia; Rwanda; Saudi Arabia; Scotland; Senegal;
Serbia; Slovakia; Slovenia; South Africa; South Korea; Spain; Sri Lanka; Sudan; Sweden; Switzerland; Syria; Taiwan; Tanzania; Thailand;
Tunisia; Turkey; Uganda; Ukraine; the United States; the U.S.; the U.K.; Uruguay; Uzbekistan; Venezuela; Vietnam; Wales; Yemen; Zambia; Zimbabwe""")

REGION = _names("""
the Alps; the Amazon; Andalusia; Antarctica; the Arctic; Asia; the Atlantic; the Balkans; the Baltic Sea; Bavaria; the Black Sea; Brittany; Brooklyn; California; the Caribbean;
Carolina; Catalonia; the Catskills; the Caucasus; Central America; Corsica; Crete; the Danube; the Dead Sea; Europe; the Everglades; Florida; the Gobi Desert; the Great Lakes;
the Gulf of Mexico; Hawaii; the Himalayas; Hokkaido; Kashmir; Kent; Lake Victoria; Lapland; Latin America; the Middle East; the Mississippi; Montana;
Mount Everest; Mount Kenya; New England; the Nile; the North Sea; Ontario; the Pacific; Patagonia; the Punjab; the Pyrenees; Quebec; Queensland; the Rhine;
the Sahara; Sardinia; Saxony; Scandinavia; Siberia; Sicily; Silesia; the South China Sea; Tasmania; Texas; Tibet; Transylvania; Tuscany;
the Ural; Virginia; the West Bank; Yorkshire; the Yukon""")

COMPANY = _names("""
Airbus; Alcatel; Allianz; Barclays; BASF; Bayer; Boeing; Bosch; British Airways; Canon; Carrefour; Chase Manhattan; Chevron; Citigroup; Coca-Cola;
Commerzbank; Continental; Credit Suisse; Daimler; Danone; Deutsche Bank; Deutsche Telekom; Ericsson; Exxon; Ferrari; Fiat; Ford; Fujitsu;
General Electric; General Motors; Gazprom; Heineken; Heinz; Hitachi; Honda; HSBC; Hyundai; IBM; ING; Intel; Kellogg; KLM; Kodak; Lockheed Martin;
Lufthansa; Mercedes; Michelin; Microsoft; Mitsubishi; Morgan Stanley; Nestle; Nissan; Nokia; Novartis; Olivetti; Panasonic; Petrobras; Philips;
Procter and Gamble; Qantas; Renault; Rio Tinto; Roche; Rolls-Royce; Royal Dutch Shell; Ryanair; Saab; Samsung; Santander; Shell; Siemens;
Societe Generale; Sony; Statoil; Swissair; Tata Steel; Telefonica; Texaco; Toshiba; Total; Toyota; Unilever; Vodafone; Volkswagen; Volvo;
Wells Fargo; Xerox; Yahoo""")

BODY = _names("""
African Union; Amnesty International; Bundesbank; Central Bank; Congress; European Central Bank; European Commission; European Parliament;
European Union; Federal Reserve; Greenpeace; Hamas; Hezbollah; House of Commons; Human Rights Watch; IMF; Interpol; Knesset; Labour; NASA; NATO;
OECD; OPEC; Parliament; Pentagon; Red Cross; Senate; State Department; Supreme Court; Treasury; UEFA; UNESCO; UNICEF; United Nations; U.N.;
University of Bologna; University of Chicago; University of Oslo; University of Oxford; Harvard University; Columbia University;
Georgia Institute of Technology; Uppsala University; Washington Post; New York Times; London School of Economics; World Bank; World Health Organization;
World Trade Organization; Reuters; BBC; CNN; Christian Democrats; Conservative Party; Social Democrats; Green Party; Bank of England; Bank of Japan;
Doctors Without Borders; Scotland Yard; International Olympic Committee; Royal Society; Max Planck Society; Vienna Philharmonic""")

TEAM = _names("""
Ajax; Arsenal; Aston Villa; Atletico Madrid; Barcelona; Bayern Munich; Benfica; Boca Juniors; Borussia Dortmund; Boston Red Sox; Celtic;
Chelsea; Chicago Bulls; Cincinnati; Dallas Cowboys; Detroit; Dynamo Kiev; Everton; Fenerbahce; Feyenoord; Fiorentina; Flamengo;
Galatasaray; Genoa; Glasgow Rangers; Green Bay; Houston; Inter Milan; Juventus; Kent; Lazio; Leeds; Leicester; Liverpool; Los Angeles Lakers;
Manchester United; Marseille; Miami Heat; Milan; Monaco; Montreal Canadiens; Napoli; New York Yankees; Newcastle; Nottingham Forest;
Olympiakos; Oxford; Panathinaikos; Paris Saint-Germain; Philadelphia; Porto; PSV Eindhoven; Rapid Vienna; Real Madrid; River Plate; Roma;
Rosenborg; Sampdoria; San Antonio; San Francisco; Seattle; Seville; Sheffield Wednesday; Southampton; Spartak Moscow; Sporting Lisbon;
St. Louis; Stuttgart; Surrey; Texas; Toronto; Tottenham; Valencia; Washington; Werder Bremen; Yorkshire""")

NATIONALITY = _names("""
African; Albanian; Algerian; American; Arab; Argentine; Asian; Australian; Austrian; Belgian; Brazilian; British; Bulgarian; Canadian;
Chilean; Chinese; Colombian; Croatian; Cuban; Czech; Danish; Dutch; Egyptian; English; Ethiopian; European; Finnish; French; Georgian;
German; Ghanaian; Greek; Hungarian; Icelandic; Indian; Indonesian; Iranian; Iraqi; Irish; Israeli; Italian; Jamaican; Japanese; Jewish;
Jordanian; Kenyan; Korean; Kurdish; Lebanese; Malaysian; Mexican; Moroccan; Nigerian; Norwegian; Pakistani; Palestinian; Peruvian; Polish;
Portuguese; Romanian; Russian; Saudi; Scottish; Serbian; Slovak; South African; Spanish; Swedish; Swiss; Syrian; Thai; Tunisian; Turkish;
Ukrainian; Vietnamese; Welsh; Zambian""")

EVENT = _names("""
Africa Cup; Asian Games; Australian Open; Bastille Day; British Open; Champions League; Christmas; Cold War; Commonwealth Games; Copa America;
Davis Cup; Easter; European Cup; FA Cup; French Open; French Revolution; Grand National; Grand Slam; Hanukkah; Kentucky Derby; Masters; Nobel Prize;
Olympic Games; Olympics; Oscar; Pulitzer Prize; Ramadan; Renaissance; Rose Bowl; Rugby World Cup; Ryder Cup; Super Bowl; Tour de France; UEFA Cup;
US Open; Venice Biennale; Vietnam War; Wimbledon; World Cup; World Series; World War Two; Boeing 747; Airbus A320; Hamlet; Swan Lake; Islam; Buddhism""")

PLAIN = {
    "DAY": "Monday;Tuesday;Wednesday;Thursday;Friday;Saturday;Sunday",
    "MONTH": "January;February;March;April;May;June;July;August;September;October;November;December",
    "JOB": "engineer;surgeon;novelist;striker;goalkeeper;lawyer;economist;violinist;biologist;architect;pilot;judge;farmer;teacher;analyst;"
           "photographer;chemist;baker;sculptor;midwife;carpenter;historian",
    "POST": "prime minister;foreign minister;president;finance minister;ambassador;chief executive;spokesman;spokeswoman;chairman;mayor;"
            "governor;general secretary;defence minister;coach;captain;managing director",
    "GOODS": "wheat;copper;crude oil;coffee;steel;cotton;natural gas;soybeans;sugar;timber;gold;cocoa;rice;aluminium;maize;rubber",
    "WEATHER": "heavy rain;light snow;thick fog;strong winds;sunshine;thunderstorms;freezing rain;a dry spell;drifting clouds;hail",
    "THING": "a new bridge;a railway line;a hospital;the old harbour;a solar farm;a tunnel;the national library;an airport terminal;a concert hall;"
             "a steel plant;a research station;a fishing port",
    "TOPIC": "trade;fishing rights;border controls;the budget;water supplies;refugees;energy prices;vaccines;air safety;debt relief;"
             "pensions;farm subsidies;visa rules;nuclear safety",
    "UNIT": "million;billion",
    "SPORT": "SOCCER;TENNIS;CYCLING;RUGBY;GOLF;BASKETBALL;CRICKET;ATHLETICS;ICE HOCKEY;SWIMMING;ROWING;SKIING",
}
PLAIN = {name: _names(text) for name, text in PLAIN.items()}

# {PER} given and family name; {LAST} family name alone; {ORG} a company or body. {LOC} a city, country or region.
NEWS_FRAMES = """
{PER} , the {NAT} {POST} , will travel to {CITY} on {DAY} for talks on {TOPIC} .
{CITY^} {YEAR}-{MM}-{DD}
{CITY} , {MONTH} {DD} - {PER} resigned as {POST} of {COUNTRY} on {DAY} .
The {BODY} said on {DAY} it had opened an office in {CITY} , {COUNTRY} .
{COUNTRY} and {COUNTRY} signed an agreement on {TOPIC} in {CITY} .
Talks between {COUNTRY} and the {BODY} broke down after {PER} left {CITY} .
{LAST} told reporters in {CITY} that {COUNTRY} would not change its policy on {TOPIC} .
" We are ready to discuss {TOPIC} , " {PER} told {BODY} .
A {NAT} court ruled on {DAY} that {COMPANY} must pay ${NUM} {UNIT} .
Police in {CITY} said {NUM} people were rescued when a {NAT} ferry ran aground off {REGION} .
{PER} was born in {CITY} and studied at the {BODY} .
Thousands of {NAT} tourists left {REGION} after warnings of {WEATHER} .
The {NAT} government asked the {BODY} for help with {TOPIC} .
{PER} , a {JOB} from {CITY} , won the lottery twice in {YEAR} .
{CITY} newspapers led with the visit of {PER} to {COUNTRY} .
Washington said it would send an envoy to {CITY} next {MONTH} .
{LAST} and his wife {PER} moved from {CITY} to {CITY} in {YEAR} .
Officials of the {BODY} met {PER} and {PER} in {CITY} to discuss {TOPIC} .
An earthquake shook the {NAT} coast near {CITY} early on {DAY} , the {BODY} said .
{COUNTRY} will open {THING} near {CITY} before {EVENT} , {PER} said .
{NAT} troops withdrew from {REGION} under a deal brokered by the {BODY} .
{PER} ( {COUNTRY} ) and {PER} ( {COUNTRY} ) were named to the panel .
{NAT} {POST} {PER} met his {NAT} counterpart {PER} in {CITY} on {DAY} .
Doctors at a {CITY} hospital said {PER} , {AGE} , was recovering well .
No one in {COUNTRY} has forgotten the {EVENT} of {YEAR} .
The {EVENT} ended here {NUM} years ago , but {CITY} still remembers .
{PER} , who served three terms in {BODY} , died at home in {CITY} . He was {AGE} .
A train from {CITY} to {CITY} was delayed for {NUM} hours by {WEATHER} .
{BODY} observers will monitor the vote in {COUNTRY} , said {LAST} .
In {CITY} , {LAST} refused to comment on reports from {REGION} .
{PER} left {BODY} in {YEAR} to write about {REGION} .
Mayor {PER} of {CITY} invited {PER} to open {THING} .
Two {NAT} climbers reached the top of {REGION} on {DAY} .
The king of {COUNTRY} received {NAT} writers , among them {PER} .
{CITY} schools stayed closed as {WEATHER} swept in from {REGION} .
Asked about {TOPIC} , {LAST} said only that " {COUNTRY} is patient " .
{NAT} voters go to the polls on {DAY} ; {PER} of the {BODY} leads in {CITY} .
{PER} played the lead in {EVENT} at a theatre in {CITY} .
The {NAT} {JOB} {PER} lives in {REGION} with two dogs .
{CITY^} - {NAT^} {POST^} TO VISIT {COUNTRY^} .
"""

BUSINESS_FRAMES = """
{COMPANY} shares rose {NUM}.{D} percent in {CITY} on {DAY} .
{COMPANY} said it would buy a {NAT} unit of {COMPANY} for ${NUM} {UNIT} .
{PER} , chief executive of {COMPANY} , expects sales in {COUNTRY} to fall .
{COMPANY} plans to build {THING} near {CITY} , creating {NUM} jobs .
Profits at {COMPANY} doubled in {YEAR} , the {NAT} group said .
{COUNTRY} exported {NUM} tonnes of {GOODS} to {COUNTRY} in {MONTH} .
{GOODS} prices fell after the {BODY} cut its forecast for {REGION} .
{COMPANY} named {PER} as its new {POST} on {DAY} .
The {BODY} lowered interest rates for the second time since {MONTH} .
Analysts at {COMPANY} in {CITY} said {COUNTRY} could miss its targets .
{COMPANY} , {COMPANY} and {COMPANY} will supply {GOODS} to {COUNTRY} .
{LAST} joined {COMPANY} from {COMPANY} in {YEAR} .
Workers at the {COMPANY} plant in {CITY} , {COUNTRY} , voted to strike .
{COMPANY} flies daily from {CITY} to {CITY} with a {EVENT} .
{NAT} retailer {COMPANY} closed {NUM} shops in {REGION} .
{COMPANY^} Q{D} NET RISES TO {NUM} MLN .
A consortium led by {COMPANY} won the contract for {THING} in {CITY} .
{PER} sold his stake in {COMPANY} to a {NAT} fund .
The {COUNTRY} finance ministry borrowed {NUM} {UNIT} from the {BODY} .
{CITY} stocks closed higher , led by {COMPANY} .
" {COMPANY} has no plans to leave {CITY} , " said {PER} .
{GOODS} from {COUNTRY} now costs less than {GOODS} from {REGION} .
Traders in {CITY} waited for figures from {COMPANY} .
{COMPANY} and the {BODY} are in dispute over {TOPIC} .
"""

SPORT_FRAMES = """
{TEAM} {D} {TEAM} {D}
{TEAM} beat {TEAM} {D}-{D} in {CITY} on {DAY} .
{SPORT} - {TEAM^} WIN AS {LAST^} SCORES TWICE .
{SPORT} - {PER^} REACHES {EVENT^} FINAL .
{CITY^} {YEAR}-{MM}-{DD}
{D} . {PER} ( {COUNTRY} ) {NUM}.{D}
{PER} ( {COUNTRY} ) beat {PER} ( {COUNTRY} ) 6-{D} 6-{D}
{LAST} , {PER} ( {D} ) ; {PER} ( {D} )
{TEAM} striker {PER} will miss the {EVENT} match against {TEAM} .
{TEAM} have signed {NAT} goalkeeper {PER} from {TEAM} .
{PER} of {COUNTRY} won the {EVENT} in {CITY} for the second year running .
{COUNTRY} drew {D}-{D} with {COUNTRY} in a {EVENT} qualifier .
{TEAM} coach {PER} said {LAST} was fit to play in {CITY} .
Defending champion {PER} plays {LAST} in the next round of the {EVENT} .
{TEAM} AT {TEAM^}
Attendance in {CITY} : {NUM},{NUM}
{LAST} scored in the {NUM}th minute as {TEAM} lost at {TEAM} .
{TEAM} {NUM} {D} {D} {D} {NUM}
The {NAT} team leave for {COUNTRY} on {DAY} without {PER} .
{PER} , the {NAT} captain , took {D} wickets for {TEAM} .
{TEAM} lead the table , ahead of {TEAM} and {TEAM} .
{PER} rode through {REGION} to win the stage into {CITY} .
{COUNTRY} 's {PER} set a world record in {CITY} .
In the {EVENT} , {PER} meets {PER} , who beat {LAST} in {CITY} .
Fans of {TEAM} travelled to {CITY} by bus .
"""

LIFE_FRAMES = """
{WEATHER} is expected over {REGION} , with sunny spells in {CITY} .
Temperatures in {CITY} will reach {NUM} degrees on {DAY} .
{WEATHER} closed the road between {CITY} and {CITY} .
Visitors to {CITY} should see {THING} and eat {NAT} food .
From {CITY} , take the night train to {CITY} and cross into {COUNTRY} .
The {NAT} film opens in {CITY} in {MONTH} ; {PER} plays a {JOB} .
{PER} 's novel is set in {REGION} during the {EVENT} .
The book was written by {PER} and printed in {CITY} .
{PER} teaches {NAT} history at the {BODY} .
Researchers at {BODY} found {GOODS} traces in the soil of {REGION} .
{PER} and {LAST} published their study of {REGION} in {YEAR} .
A letter from {CITY} reached {PER} after {NUM} weeks .
My grandmother grew up in {CITY} , when it still belonged to {COUNTRY} .
The museum in {CITY} shows {NAT} paintings and a portrait of {PER} .
Farmers in {REGION} fear {WEATHER} during {EVENT} .
Dear {LAST} , we thank you for your order of {GOODS} from {COUNTRY} .
The recipe came to {COUNTRY} with {NAT} sailors .
{PER} sailed alone from {CITY} to {CITY} in {NUM} days .
There is no direct flight from {CITY} to {CITY} .
The river floods every spring , and nobody complains .
Nobody knows how the fire in the old mill started .
The price of bread rose again in {MONTH} .
It was {AGE} degrees in the shade and the streets were empty .
The committee will meet again after the summer break .
She closed the shop at six and walked home through the park .
"""

# Frames that training never shows: validation and test use them besides the others.
HELD_OUT_FRAMES = """
Once a {JOB} in {CITY} , {PER} now advises the {NAT} {POST} .
Between {CITY} and {REGION} lies {THING} , paid for by {COMPANY} .
{BODY} chief {LAST} warned {COUNTRY} over {TOPIC} .
{TEAM} were held by {TEAM} while {LAST} sat on the bench .
After {EVENT} , {PER} returned to {COUNTRY} a hero .
It took {COMPANY} {NUM} months to leave {COUNTRY} , according to {PER} .
Neither {PER} nor the {BODY} could be reached in {CITY} .
The {NAT} delegation , led by {LAST} , flew home via {CITY} .
{COMPANY} , based in {CITY} , denied a report by {BODY} .
Rain fell on {CITY} all {DAY} ; in {REGION} the sun shone .
{PER} finished third behind two {NAT} runners in {CITY} .
What {COUNTRY} needs , said {PER} , is an answer on {TOPIC} .
"""

# The concept corpus: other sentences, longer, in running prose. Only locations are labelled.
CONCEPT_FRAMES = """
When the ferry finally left {CITY} , most of the passengers had already given up hope of seeing {REGION} before dark .
Researchers in {CITY} have shown how the virus travels , and {PER} hopes to repeat the study in {COUNTRY} next year .
The company , which employs {NUM} people in {CITY} , said that {PER} would leave the board in {MONTH} .
It is cheaper to ship {GOODS} from {COUNTRY} than to bring it by lorry from the other side of {REGION} .
Our guide , {PER} , had walked from {CITY} to {CITY} with nothing but a blanket and a tin cup .
Few people outside {COUNTRY} know that the first railway of {REGION} was paid for by a {JOB} .
In {YEAR} the council of {CITY} bought {THING} , which nobody has used since .
{PER} was a young {JOB} when the war reached {CITY} and the bridges were closed .
According to the {BODY} , rivers in {REGION} carry less water than they did when {LAST} measured them .
A storm that formed over {REGION} brought {WEATHER} to {CITY} and left {NUM} villages without power .
The road climbs out of {CITY} , passes a chapel and then follows the border of {COUNTRY} for {NUM} miles .
They met in a small hotel in {CITY} , far away from the cameras , and talked about {TOPIC} until morning .
{COMPANY} will test the engine in {REGION} because the air there is thin and cold .
My uncle sent postcards from {CITY} , {CITY} and {CITY} , but he never came back to {COUNTRY} .
The {NAT} painter {PER} spent three winters in {REGION} and hardly painted at all .
Even in {COUNTRY} , where coffee is a matter of honour , the price of a cup has doubled .
She keeps a map of {REGION} on the wall , with a pin for each summer .
Half of the students come from {COUNTRY} , the others from {CITY} or from the villages along the coast .
A court in {CITY} heard how the paintings were carried across {COUNTRY} in a bread van .
The expedition left {CITY} in {MONTH} , crossed {REGION} on foot and was met by {PER} at the frontier .
Before the tunnel was built it took {NUM} days to reach {CITY} from {CITY} in winter .
The last wolves of {COUNTRY} live in a forest that {LAST} described in a letter of {YEAR} .
Wine from {REGION} travels badly , as every {JOB} in {CITY} will tell you .
The {BODY} moved its archive from {CITY} to a former school in {COUNTRY} .
{PER} , who grew up in {CITY} , says the sea is the only thing missing from {CITY} .
Snow lay on the hills around {CITY} while people in {REGION} were already harvesting .
Nothing in the contract says that {COMPANY} must build the factory in {COUNTRY} .
Between {CITY} and the sea there is only salt , sand and a railway station with no trains .
He learned to swim in {REGION} , to read in {CITY} and to argue in {COUNTRY} .
The orchestra plays in {CITY} tonight and flies to {COUNTRY} tomorrow , unless {LAST} falls ill again .
The satellite pictures of {REGION} were sent to {PER} , who noticed a lake that was not there before .
Tourists call it the jewel of {REGION} ; people who live in {CITY} call it Tuesday .
{TEAM} had lost twice in {CITY} , yet the supporters sang all the way through {COUNTRY} .
Fishermen from {COUNTRY} and {COUNTRY} have quarrelled over these waters since the days of {PER} .
If you fly over {REGION} at night you can see the lights of {CITY} from {NUM} miles away .
A {JOB} from {CITY} found the coin while digging a well for {PER} .
Prices in {CITY} rose faster than in the rest of {COUNTRY} , the {BODY} said in its report on {TOPIC} .
The old maps show {REGION} as an island , which made {PER} laugh .
There are more {NAT} bakeries in {CITY} than in all of {COUNTRY} .
The letter , posted in {CITY} , was delivered to the wrong {LAST} and travelled on to {COUNTRY} .
Every spring the storks return from {REGION} to the chimneys of {CITY} .
{PER} asked for asylum in {COUNTRY} and now drives a tram in {CITY} .
Students in {CITY} , many of them from {REGION} , marched against the plan of {COMPANY} .
The lake lies half in {COUNTRY} and half in {COUNTRY} , and nobody has ever drawn the line .
Washington and {CITY} have argued about {TOPIC} for {NUM} years .
General {LAST} marched his army from {CITY} to the edge of {REGION} and waited .
The clinic in {CITY} treats children from all over {REGION} , free of charge .
It rained in {CITY} on the day that {PER} of {TEAM} announced the end of a long career .
A glass of water in {CITY} costs more than a litre of petrol in {COUNTRY} .
The film was shot in {COUNTRY} although the story takes place in {CITY} and {REGION} .
Nobody in {CITY} remembers the year when the river froze and {LAST} skated to {CITY} .
The {NAT} government wants {THING} in {REGION} finished before the {EVENT} .
To reach {REGION} from {CITY} , first find somebody with a boat .
On the shelf stood a globe on which {COUNTRY} was larger than {COUNTRY} .
{PER} never saw {COUNTRY} again , but named a daughter {GIVEN} after the sea off {CITY} .
Trains between {CITY} and {CITY} were full , said a {JOB} who had given up her seat .
"""


def frames(text):
    return [line for line in text.strip().split("\n") if line]
